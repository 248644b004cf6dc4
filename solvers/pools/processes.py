"""Worker processes that hold a model compiled.

Fresh processes (loky's, the pool under scikit-learn's ``n_jobs``), not forks: HiGHS, BLAS and a search that was turned
inside out hold threads, and a fork of those may hang. The model travels once to each worker by cloudpickle, which takes
lambdas, closures and what stands in the user's own file, so that a script needs no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import Any

from bilevel.arrays import silence
from bilevel.contracts.pool import Pool
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.response.response import Response
from bilevel.solvers.pools.interrupts import hearing_late
from bilevel.solvers.pools.parcel import packed, unpacked


def executor(parcel: bytes, count: int) -> Any:
    """An executor of so many processes, started; they end with this one, and do not hear Ctrl-C."""
    from loky import ProcessPoolExecutor

    # A thread each: linear algebra that starts more in every process only makes them wait for each other.
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # How a worker died is told in a line, with its point; a page of frames comes only to who asks Python for it.
    one["PYTHONFAULTHANDLER"] = os.environ.get("PYTHONFAULTHANDLER", "")
    made = ProcessPoolExecutor(count, initializer=_settle, initargs=(parcel, os.getpid()), env=one)
    try:
        with hearing_late():
            made.submit(_ready)  # the first task starts all the processes
    except KeyboardInterrupt:
        made.shutdown(wait=False, kill_workers=True)
        raise
    return made


_parcels: list[bytes] = []  # in a worker: the one it was given


def _settle(parcel: bytes, parent: int) -> None:
    """Begin as a worker: wait for the parcel to be needed, and leave when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _parcels.append(parcel)
    silence()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _ready() -> None:
    """Do nothing, in a worker."""


def _watch(parent: int) -> None:
    while os.getppid() == parent or os.name == "nt":
        time.sleep(0.5)
    os._exit(1)


@cache
def held() -> tuple[Response, Any]:
    """In a worker: the response of the problem it was given, compiled once, and what came with it."""
    return unpacked(_parcels[0])


def _do(task: Callable[..., Any], *arguments: Any) -> Any:
    """In a worker: a task, with what is held there."""
    return task(*held(), *arguments)


@register("processes")
class Processes(Pool):
    """Processes of this machine, one thread each.

    Take it when an evaluation takes a tenth of a second or more and there are cores to spare; below that the run's own
    process, ``workers=1``, is faster, and beyond one machine there is ``dask``.
    """

    def __init__(self, problem: Problem, extra: Any, where: Any) -> None:
        self._parcel = packed(problem, extra)
        self._executor = executor(self._parcel, int(where))

    @classmethod
    def workers(cls, where: Any) -> int:
        return int(where)

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = self._executor.submit(_do, task, *arguments)
        return future

    def anew(self, count: int) -> Processes:
        again = object.__new__(Processes)
        again._parcel, again._executor = self._parcel, executor(self._parcel, count)
        return again

    def close(self, wait: bool = False) -> None:
        self._executor.shutdown(wait=wait, kill_workers=True)
