"""When a run has to end: one deadline, handed down to whatever is called until then.

A time limit passed from function to function is lost at the first one that does not pass it on, and what was left when
it was computed is more than what is left when it is used. So a deadline holds for all that runs inside
:func:`within`, however deep, and an inner one can only be earlier (N. J. Smith 2018, *Timeouts and cancellation for
humans*). Loops of ours ask :func:`passed`, and return what they have; what has nothing to return before it is done asks
:func:`look`; engines are given :func:`limited`.

Some work cannot ask: a Pyomo model cloned, a graph walked, a user's training run. For these there is the bell
(:func:`ringing`): shortly after the deadline :class:`OutOfTime` is raised in the main thread wherever it is in Python,
as Ctrl-C raises ``KeyboardInterrupt``. It needs a Unix, the main thread, and a SIGALRM that nobody else uses; elsewhere
what asks is all there is.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

_LEAST = 0.01  # seconds that an engine is given in any case: some take 0 for no limit
_LATE = 0.1  # seconds, and share of what there was at first, by which those that ask may be late before the bell rings
_SHARE = 0.02
_WRAPPERS = ("casadi.py",)
_TABLES = ("npyio.py", "_npyio_impl.py")  # NumPy's reader of arrays
_AGAIN = 0.5  # seconds after which it rings once more where nobody took notice


class OutOfTime(BaseException):
    """The deadline has passed. No ``Exception``: nobody is to take it for a point that failed."""


@dataclass(frozen=True)
class Deadline:
    """A moment of ``time.monotonic()``.

    Attributes
    ----------
    end : float
        Infinite where there is all the time in the world.
    """

    end: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """So many seconds from now; never for None."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until then, negative after it."""
        return self.end - time.monotonic()

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return self.end < math.inf and time.monotonic() > self.end


_current: ContextVar[Deadline] = ContextVar("deadline", default=Deadline())  # noqa: B039 (it is frozen)


_stoppable: ContextVar[bool] = ContextVar("stoppable", default=False)


def current() -> Deadline:
    """The deadline that holds here."""
    return _current.get()


def passed() -> bool:
    """Whether it is over."""
    return _current.get().passed


def look() -> None:
    """Raise :class:`OutOfTime` if it is over, inside :func:`ringing`: there somebody catches it."""
    if _stoppable.get() and _current.get().passed:
        raise OutOfTime


def limited(seconds: float | None = None) -> float | None:
    """What to give an engine: its own limit or what is left, whichever is less; None where neither is limited."""
    end = _current.get().end
    if end == math.inf:
        return seconds if seconds is None else max(seconds, _LEAST)
    left = end - time.monotonic()
    return max(left if seconds is None else min(seconds, left), _LEAST)


@contextmanager
def within(deadline: Deadline) -> Iterator[Deadline]:
    """Let a deadline hold for what runs inside, unless an earlier one holds already."""
    outer = _current.get()
    token = _current.set(deadline if deadline.end < outer.end else outer)
    try:
        yield _current.get()
    finally:
        _current.reset(token)


class _Bell:
    """Raises :class:`OutOfTime` in the main thread once the deadline has passed, until somebody heard it."""

    def __init__(self) -> None:
        self.rings = False
        self.waits = 0
        self.base: Any = None  # the frame that asked for it

    def ring(self, _: int, frame: FrameType | None) -> None:
        """Called by the signal."""
        if not self.rings or self.waits or not _may_be_left(frame, self.base):
            return
        caller = _outside(frame)
        if caller is frame:
            raise OutOfTime
        if sys.gettrace() is None:
            caller.f_trace = self._late
            sys.settrace(_ignored)

    def _late(self, *_: Any) -> Any:
        """At the next line of whoever called the wrapper of a C++ library."""
        sys.settrace(None)
        if self.rings and not self.waits:
            raise OutOfTime


_bell = _Bell()


@contextmanager
def ringing() -> Iterator[None]:
    """Raise :class:`OutOfTime` inside, wherever that is, soon after the deadline that holds has passed."""
    token = _stoppable.set(True)
    try:
        with _alarm(current()):
            yield
    finally:
        _stoppable.reset(token)


def _unraisable(hook: Callable[[Any], Any], what: Any) -> None:
    """A compiled library that cannot pass on what is raised in it prints it: it rings again a moment later."""
    if not isinstance(what.exc_value, OutOfTime):
        hook(what)


@contextmanager
def _alarm(deadline: Deadline) -> Iterator[None]:
    """The same of what does not look."""
    if deadline.end == math.inf or _bell.rings or not _alarm_is_free():
        yield
        return
    left = deadline.left
    before, hook = signal.signal(signal.SIGALRM, _bell.ring), sys.unraisablehook
    sys.unraisablehook = partial(_unraisable, hook)
    _bell.rings, _bell.base = True, sys._getframe(4)
    signal.setitimer(signal.ITIMER_REAL, max(left, 0.0) * (1.0 + _SHARE) + _LATE, _AGAIN)
    try:
        yield
    finally:
        _bell.rings, _bell.base = False, None
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook
        if sys.gettrace() is _ignored:
            sys.settrace(None)


def heard() -> None:
    """Stop the bell: whoever caught :class:`OutOfTime` is putting together what was found."""
    _bell.rings = False
    _stoppable.set(False)


@contextmanager
def waiting() -> Iterator[None]:
    """Let the bell wait: inside a library that is told the time itself, and through which nothing can be raised."""
    _bell.waits += 1
    try:
        yield
    finally:
        _bell.waits -= 1


def _alarm_is_free() -> bool:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        return False
    return signal.getsignal(signal.SIGALRM) is signal.SIG_DFL and signal.getitimer(signal.ITIMER_REAL)[0] == 0.0


def _ignored(*_: Any) -> None:
    """A trace of nothing, by which a frame's own is heard."""


def _outside(frame: Any) -> Any:
    """The frame, or the first below it that is not one of CasADi's wrappers: they swallow what is raised in them."""
    inner = frame
    while inner is not None and inner.f_code.co_filename.endswith(_WRAPPERS):
        inner = inner.f_back
    return frame if inner is None else inner


def _may_be_left(frame: Any, base: Any) -> bool:
    """Whether an exception may be raised there: not in a module half imported, nor where it would be swallowed.

    Compiled code that reads a table at its first use, as SciPy does for Sobol's numbers, prints it and goes on.
    """
    while frame is not None and frame is not base:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib") or code.co_name == "__del__":
            return False
        if code.co_filename.endswith(_TABLES):
            return False
        frame = frame.f_back
    return True
