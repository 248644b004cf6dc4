"""Ctrl-C: put off while something must not be torn, and heard late in workers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
