"""SCIP's error lines kept off the terminal while it solves.

A linear program that gives up ends the solve with an exception, which becomes an answer; before that SCIP writes the
trace of C functions to the process's stderr, past the model's message handler. The library has a switch of its own for
these lines, which PySCIPOpt does not show.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pyscipopt


@contextmanager
def silence() -> Iterator[None]:
    """Without SCIP's error lines; as they were by default afterwards. Does nothing where the switch is not found."""
    switch = _library()
    if switch is None:
        yield
        return
    switch.SCIPmessageSetErrorPrinting(None, None)
    try:
        yield
    finally:
        switch.SCIPmessageSetErrorPrintingDefault()


@cache
def _library() -> Any:
    """The extension module as a C library, through which the symbols of SCIP are found where the linker lets them."""
    try:
        library = ctypes.CDLL(pyscipopt.scip.__file__)
        library.SCIPmessageSetErrorPrinting.restype = library.SCIPmessageSetErrorPrintingDefault.restype = None
    except (OSError, AttributeError):
        return None
    return library
