"""Programs that tests start, each at the head of a process group that ends with the block that started it.

Wherever the tests themselves run (a terminal, a pipe, ``nohup``, a job in the background, whose processes are started
with Ctrl-C ignored and would never hear one), the program finds the same: it hears Ctrl-C, has no terminal and no input.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

PATIENCE = 240.0
"""Seconds after which a program hangs, whatever else the machine has to do."""


def run(
    command: Sequence[str], *, check: bool = False, patience: float = PATIENCE, **settings: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with its output as text; takes what ``subprocess.Popen`` takes."""
    with started(command, **settings) as process:
        out, err = process.communicate(timeout=patience)
    assert not (check and process.returncode), err
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@contextmanager
def started(command: Sequence[str], *, hears: bool = True, **settings: Any) -> Iterator[subprocess.Popen[str]]:
    """A program that runs while the block does; ``hears=False`` starts it as a shell starts a background job."""
    pipe = subprocess.PIPE
    usual = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "text": True, "start_new_session": True}
    with ctrl_c(signal.default_int_handler if hears else signal.SIG_IGN):
        process = subprocess.Popen(command, **{**usual, **settings})
    with process:
        try:
            yield process
        except BaseException:
            end_group(process)
            raise
        if process.poll() is None:
            end_group(process)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds; fail where nothing but a hang explains that it does not."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill a program and all that it started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


@contextmanager
def ctrl_c(handler: Any = signal.default_int_handler) -> Iterator[None]:
    """Handle Ctrl-C so for a while, here and in what is started meanwhile (there a handler of Python's is the default)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
