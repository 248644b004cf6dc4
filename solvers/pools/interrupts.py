"""Ctrl-C: put off while something must not be torn, and heard late in workers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from bilevel.deadline import waiting


@contextmanager
def deaf() -> Iterator[None]:
    """Ignore Ctrl-C for a moment, in this process and for good in those started meanwhile.

    A terminal sends it to all of them; this one hears it and ends the others, and must not be disturbed in that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if heard is None else heard)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off Ctrl-C, and the end of the time, until what must not be torn is whole.

    By the handler and not by a mask: with other threads about, one of them would take the signal.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    heard: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    try:
        with waiting():
            yield
    finally:
        signal.signal(signal.SIGINT, before)
        if heard:
            before(*heard[0])


class Stop:
    """Whether somebody asked for the end.

    Attributes
    ----------
    asked : bool
        Since the first Ctrl-C.
    """

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def stopping(said: Callable[[str], None]) -> Iterator[Stop]:
    """Take the first Ctrl-C as a wish, which is said, and the second as Python takes the first."""
    stop = Stop()
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or not usual:
        yield stop
        return

    def hear(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        said("stopping when what runs is finished; Ctrl-C once more stops at once, and keeps all the same")

    signal.signal(signal.SIGINT, hear)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def hearing_late() -> Iterator[None]:
    """Hear a Ctrl-C of meanwhile at the end; processes started meanwhile never hear one. Without signal masks: deaf."""
    if not hasattr(signal, "pthread_sigmask"):
        with deaf():
            yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
