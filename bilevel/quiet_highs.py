"""HiGHS without its banner: since version 1.16 the first object of a process prints one when it is made.

No option can forbid it, for there is no object yet to set one on, and it goes to the process's standard output, past
Python: a report in JSON there would begin with it. Hence the first object is made with that output thrown away.
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
    """A new ``highspy.Highs`` that prints nothing."""
    _after_the_banner()
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    return highs


@cache
def _after_the_banner() -> None:
    with _discarded_output():
        highspy.Highs()


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
