"""Turning an optimizer that calls a function into one that is asked and told.

The optimizer runs in a thread of its own, and one of the two threads always waits for the other: nothing happens at
the same time, so that a history is the same in every run.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class _Closed(BaseException):
    """Unwinds the optimizer's thread."""


class Inversion(Generic[Request, Reply]):
    """Runs ``optimizer(call)`` so that its calls come out of :meth:`ask` and go on with :meth:`tell`.

    Parameters
    ----------
    optimizer : callable
        Takes a function ``call(request) -> reply`` and returns when it is done.
    """

    def __init__(self, optimizer: Callable[[Callable[[Request], Reply]], Any]) -> None:
        self._requests: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        self._optimizer = optimizer
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._next: tuple[str, Any] | None = None

    def _run(self) -> None:
        try:
            self._optimizer(self._call)
            self._requests.put(("done", None))
        except _Closed:
            pass
        except BaseException as error:  # handed to whoever asks: it is not this thread's to print
            self._requests.put(("error", error))

    def _call(self, request: Request) -> Reply:
        self._requests.put(("request", request))
        going, reply = self._replies.get()
        if not going:
            raise _Closed
        return reply  # type: ignore[no-any-return]

    def ask(self) -> Request | None:
        """The next request; None when the optimizer is done. Asked again before it is told, it is the same one."""
        if self._next is None:
            self._thread.start()
            self._next = self._requests.get()
        kind, content = self._next
        if kind == "error":
            self._next = ("done", None)
            raise content
        return content  # type: ignore[no-any-return]

    def tell(self, reply: Reply) -> None:
        """Answer the last request and wait for the next one, so that the two threads never run at once."""
        self._replies.put((True, reply))
        self._next = self._requests.get()

    def close(self) -> None:
        """End the optimizer's thread if it waits for an answer that will not come."""
        if self._next is not None and self._next[0] == "request":
            self._replies.put((False, None))
            self._thread.join()
        self._next = ("done", None)
