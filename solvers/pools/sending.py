"""Tasks sent to workers that nobody prepared: the model follows where it is missing, so that it travels once to each.

A worker that has not seen a model says so, and the task is sent to whoever is next with the model beside it. So it is
after a worker was replaced, or a whole cluster restarted.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from functools import partial
from typing import Any

from bilevel.contracts.pool import TaskLost
from bilevel.errors import OptionError, first_line
from bilevel.response.isolation.warm import end_idle
from bilevel.solvers.pools.parcel import unpacked

_MISSING = "bilevel: the model is not here"
_MOST = 4  # models that a worker keeps


class WorkerDied(BrokenExecutor):
    """The worker of one task died, or was lost; others go on."""


class Sending:
    """Sends tasks to an executor.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Of any kind whose workers can import this package.
    parcel : bytes
        The model.
    is_death : callable
        Whether an exception of a task means that its worker died.
    is_loss : callable
        Whether it means that whoever gave out the tasks lost them all.
    """

    def __init__(
        self,
        executor: Any,
        parcel: bytes,
        is_death: Callable[[BaseException], bool],
        is_loss: Callable[[BaseException], bool] = lambda error: False,
    ) -> None:
        self._executor, self._parcel, self._is_death, self._is_loss = executor, parcel, is_death, is_loss
        self._key = hashlib.sha256(parcel).hexdigest()

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """See :class:`bilevel.contracts.pool.Pool`."""
        outer: Future[Any] = Future()
        outer.set_running_or_notify_cancel()
        self._send(outer, None, (task, arguments))
        return outer

    def _send(self, outer: Future[Any], parcel: bytes | None, work: tuple[Any, ...]) -> None:
        try:
            inner = self._executor.submit(done_there, self._key, parcel, *work)
        except Exception as error:
            text = f"the executor takes no more tasks ({first_line(error)}); give the run another, and its study"
            outer.set_exception(OptionError(text))
        else:
            inner.add_done_callback(partial(self._back, outer, work))

    def _back(self, outer: Future[Any], work: tuple[Any, ...], inner: Future[Any]) -> None:
        try:
            found = inner.result()
        except CancelledError as error:
            lost = TaskLost if self._is_loss(error) else WorkerDied
            outer.set_exception(lost("its worker was lost"))
        except BaseException as error:
            known = TaskLost if self._is_loss(error) else WorkerDied
            outer.set_exception(known(first_line(error)) if self._is_death(error) else error)
        else:
            if isinstance(found, str) and found == _MISSING:
                self._send(outer, self._parcel, work)
            else:
                outer.set_result(found)


_held: dict[str, tuple[Any, Any]] = {}
_alone = threading.Lock()  # engines are not made for several threads


def done_there(key: str, parcel: bytes | None, task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """In a worker: a task, with the model of that key, or word that it is not here."""
    with _alone:
        if key not in _held:
            if parcel is None:
                return _MISSING
            while len(_held) >= _MOST:
                _held.pop(next(iter(_held)))
            _held[key] = unpacked(parcel)
        return task(*_held[key], *arguments)


def released() -> None:
    """In a worker: end what runs isolated beside it."""
    end_idle()
