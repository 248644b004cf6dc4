"""No test leaves anything behind, neither a process nor an open file, also where it fails.

What outlives a test disturbs another: a process takes its share of the machine, and an unclosed file is a warning, hence
an error, in whichever test happens to run when Python collects it. Both are looked for at the end of each test, ended
there, and are the failure of the test that left them.

On Linux this process adopts orphans, so that the child of a child that has ended (a C compiler begun by a command that is
over, a worker whose parent was killed) is still found below it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import warnings
from collections.abc import Iterator

import psutil
import pytest

GRACE = 10.0
"""Seconds that a process on its way out (a worker that watches for its parent, say) has to be gone."""

_LASTING = "resource_tracker"  # loky's and Python's bookkeepers: one for all the tests of a process
_ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)


def adopt_orphans() -> None:
    """Become the parent of every process below this one that loses its own. Elsewhere than on Linux: nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test that left a process or an open file behind, and clear it away."""
    children, files = _children(), _open_files()
    yield
    found = [*_unclosed(files), *end(_living(_children() - children))]
    if found:
        pytest.fail("left behind: " + "; ".join(found), pytrace=False)


def end_all() -> None:
    """End whatever still runs below this process."""
    end(_living(_children()), grace=0.0)


def end(processes: list[psutil.Process], grace: float | None = None) -> list[str]:
    """End these and all below them that have not gone by themselves in time; what those were."""
    family = {one for process in processes for one in _family(process)}
    _, left = psutil.wait_procs(family, timeout=GRACE if grace is None else grace)
    told = [_told(process) for process in left]
    for process in left:
        for one in _family(process):
            one.kill()  # does nothing to one that is gone: psutil knows when it began
    psutil.wait_procs(left, timeout=GRACE)
    return told


def alive(process: psutil.Process) -> bool:
    """Whether it runs: a process that ended and that nobody asked for its exit code does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _living(pids: set[int]) -> list[psutil.Process]:
    return [p for p in map(_process, pids) if p is not None and alive(p) and _LASTING not in _told(p)]


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _told(process: psutil.Process) -> str:
    try:
        return f"process {process.pid} ({' '.join(process.cmdline())[:200]})"
    except psutil.Error:
        return f"process {process.pid}"


def _children() -> set[int]:
    """This process's direct children. Linux has a list of them; psutil reads those of the whole machine."""
    try:
        lists = [f"{thread.path}/children" for thread in os.scandir("/proc/self/task")]
        return {int(pid) for path in lists for pid in _text(path).split()}
    except OSError:
        return {process.pid for process in psutil.Process().children()}


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def _open_files() -> set[str]:
    try:
        return set(os.listdir("/dev/fd"))
    except OSError:
        return set()


def _unclosed(before: set[str]) -> list[str]:
    """What Python says of the files, pipes and connections that only its collector closes."""
    if _open_files() <= before:
        return []
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):  # pytest keeps there what a failed test held
        if hasattr(sys, name):
            delattr(sys, name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    return [str(one.message) for one in caught if issubclass(one.category, ResourceWarning)]
