"""A HiGHS object that prints nothing and runs on one thread, whatever the rest of the process does with HiGHS.

Since version 1.16 the first object of a process prints a banner when it is made: no option can forbid it, for there is
no object yet to set one on, and it goes to the process's standard output, past Python. A report in JSON there would
begin with it; hence the first object is made with that output thrown away.

HiGHS has one scheduler of threads for the whole process, made by the first run. From then on a run that asks for
another number of threads fails, and says so on the standard output that was forbidden to it. Where another program
ran HiGHS first (Pyomo's own interface does) its number has to do: 0 asks for that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import highspy

_STANDARD_OUTPUT = 1


def quiet_highs() -> Any:
    """A new ``highspy.Highs``."""
    return _made(_threads())


@cache
def _threads() -> int:
    """1, or 0 where the scheduler is already another program's; a run of nothing much tells."""
    with _discarded_output():
        highs = _made(1)
        highs.addVar(0.0, 1.0)
        highs.run()
    return 1 if highs.getModelStatus() == highspy.HighsModelStatus.kOptimal else 0


def _made(threads: int) -> Any:
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", threads)
    return highs


@contextmanager
def _discarded_output() -> Iterator[None]:
    """With what C code writes to standard output thrown away; does nothing where there is none."""
    try:
        kept = os.dup(_STANDARD_OUTPUT)
    except OSError:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, _STANDARD_OUTPUT)
        yield
    finally:
        os.dup2(kept, _STANDARD_OUTPUT)
        os.close(kept)
        os.close(nowhere)
