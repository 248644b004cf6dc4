"""One call of ``bilevel.solve`` in a process of its own, which can be ended, with the CPU it took and what it left behind."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stated_problem import Stated

MARK = "BILEVEL_ADVERSARY_RUN"
_THIRD = ("casadi", "daqp", "highspy", "optuna", "piqp", "pyscipopt", "scipy.optimize", "scipy.stats", "pyomo.environ")
_GRACE = 2.0  # seconds for what a run leaves behind to end by itself
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Outcome:
    """What a run gave: a result's fields, a refusal, a traceback, or nothing because it was ended."""

    result: dict[str, Any] | None = None
    refusal: str = ""
    crash: str = ""
    ended: bool = False
    cpu: float = 0.0
    wall: float = 0.0
    said: str = ""
    left: list[str] = field(default_factory=list)


def load_everything() -> None:
    """Import all that a run may import late, so that a copy of this process starts at once."""
    import bilevel
    import bilevel.solvers

    # The first folder alone: in a checkout the package's path holds the repository's root besides.
    for folder, prefix in ((bilevel.__path__[0], "bilevel."), (bilevel.solvers.__path__[0], "bilevel.solvers.")):
        for module in pkgutil.walk_packages([folder], prefix):
            if not module.name.endswith(("__main__", ".install_cyipopt", "bilevel.solve")):
                with suppress(ImportError):
                    importlib.import_module(module.name)
    for name in _THIRD:
        importlib.import_module(name)


def run(problem: Stated, method: str, options: dict[str, Any], longest_cpu: float, longest: float) -> Outcome:
    """Solve in a forked process; ended after so many seconds of CPU, or of the clock."""
    folder = tempfile.mkdtemp(prefix="adversary-")
    answer, said = Path(folder, "answer.json"), Path(folder, "said")
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _solve(problem, method, options, answer, said, mark)
    ended = _watch(child, began, longest_cpu, longest)
    outcome = Outcome(ended=ended.pop("ended"), cpu=ended["cpu"], wall=time.monotonic() - began)
    if answer.exists():
        told = json.loads(answer.read_text())
        outcome.cpu = told.pop("cpu")
        for name, value in told.items():
            setattr(outcome, name, value)
    elif not outcome.ended:
        outcome.crash = f"the process died: status {ended['status']}"
    outcome.said = said.read_text(errors="replace")[:2000] if said.exists() else ""
    outcome.left = _left_behind(child, mark)
    for file in (answer, said):
        file.unlink(missing_ok=True)
    Path(folder).rmdir()
    return outcome


def _solve(problem: Stated, method: str, options: dict[str, Any], answer: Path, said: Path, mark: str) -> None:
    """In the child: solve, write what came of it, and go."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ[MARK] = mark
    screen = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(screen, 1)
    os.dup2(screen, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    import bilevel
    from bilevel import BilevelError

    told: dict[str, Any] = {}
    try:
        model = problem.model()
    except BaseException:
        told["refusal"] = "Pyomo: " + traceback.format_exc(limit=1)
    else:
        before = sum(os.times()[:4])
        try:
            result = bilevel.solve(model, method, **options).to_dict()
            told["result"] = {
                key: value for key, value in result.items() if key not in ("history", "space", "conditions")
            }
        except BilevelError as error:
            told["refusal"] = f"{type(error).__name__}: {error}"
        except BaseException:
            told["crash"] = traceback.format_exc()
        told["cpu"] = sum(os.times()[:4]) - before
    told.setdefault("cpu", 0.0)
    answer.with_suffix(".new").write_text(json.dumps(told, default=str))
    answer.with_suffix(".new").rename(answer)
    # As a program ends: what the package registered to happen at exit happens.
    import atexit
    import threading

    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    os._exit(0)


def _watch(child: int, began: float, longest_cpu: float, longest: float) -> dict[str, Any]:
    """Wait for the child, and end it with its session when its time is over."""
    ended = False
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return {"ended": ended, "status": status, "cpu": usage.ru_utime + usage.ru_stime}
        if not ended and (_cpu_of(child) > longest_cpu or time.monotonic() - began > longest):
            ended = True
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


def _stat(pid: int | str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _cpu_of(pid: int) -> float:
    stat = _stat(pid)
    return sum(int(ticks) for ticks in stat[11:15]) / _TICKS if stat else 0.0


def _left_behind(session: int, mark: str) -> list[str]:
    """Commands of that session, or with that mark, which go on; they are ended one by one."""
    until = time.monotonic() + _GRACE
    while (pids := _members(session, mark)) and time.monotonic() < until:
        time.sleep(0.05)
    commands = []
    for pid in pids:
        with suppress(OSError):
            commands.append(
                Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
            )
            os.kill(pid, signal.SIGKILL)
    return commands


def _members(session: int, mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        stat = _stat(entry.name)
        if not stat or stat[0] == "Z":
            continue
        marked = False
        with suppress(OSError):
            marked = f"{MARK}={mark}".encode() in (entry / "environ").read_bytes()
        if marked or int(stat[3]) == session:
            found.append(int(entry.name))
    return found
