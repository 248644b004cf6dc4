"""Isolated processes kept warm between calls, one for each caller at a time, and ended with the run."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bilevel.language.lower_level import Limits
from bilevel.response.isolation.cell import Cell, Died

_log = logging.getLogger(__name__)
_Key = tuple[int, Limits]
_idle: dict[_Key, list[Cell]] = {}
_lock = threading.Lock()


def called(function: Callable[..., Any], limits: Limits, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """``("answer", what the function gave)``, or ``("failed", why)``: its process is ended where it does not answer.

    A process that dies, or has no memory left, after it served other points may have died of them: the point is tried
    once more by a fresh one, so that what is recorded of it does not depend on who was evaluated before.
    """
    while True:
        cell = _taken(function, limits)
        again, keep = cell.used > 0, False
        try:
            kind, what, keep = cell.ask(arguments)
        except Died as death:
            if again:
                continue
            return "failed", str(death)
        finally:
            if keep:
                _give_back(cell, limits)
            else:
                _log.info("the process of a response function is ended")
                cell.end()
        if kind == "failed" and again and what.startswith("MemoryError"):
            continue
        return kind, what


def _taken(function: Callable[..., Any], limits: Limits) -> Cell:
    with _lock:
        waiting = _idle.get((id(function), limits))
        if waiting:
            return waiting.pop()
    return Cell(function, limits)


def _give_back(cell: Cell, limits: Limits) -> None:
    with _lock:
        _idle.setdefault((id(cell.function), limits), []).append(cell)


def end_idle() -> None:
    """End the processes that nobody is asking."""
    with _lock:
        found = [cell for cells in _idle.values() for cell in cells]
        _idle.clear()
    for cell in found:
        cell.end()


@contextmanager
def ended_afterwards() -> Iterator[None]:
    """Let no isolated process outlive what runs inside."""
    try:
        yield
    finally:
        end_idle()


atexit.register(end_idle)
