"""Worker processes that hold a model compiled.

Fresh processes (loky's, the pool under scikit-learn's ``n_jobs``), not forks: HiGHS, BLAS and a search that was turned
inside out hold threads, and a fork of those may hang. The model travels once to each worker by cloudpickle, which takes
lambdas, closures and what stands in the user's own file, so that a script needs no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import Any

from bilevel import registry
from bilevel.contracts.engine import Engine
from bilevel.contracts.pool import Pool
from bilevel.errors import OptionError
from bilevel.files import model_files
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.response.response import Response
from bilevel.solvers.pools.interrupts import hearing_late


def pack(problem: Problem, extra: Any = None) -> bytes:
    """All that a worker needs, in bytes: the problem, the user's engines, and whatever goes with them.

    Raises
    ------
    OptionError
        If the model cannot be handed to another process.
    """
    import cloudpickle

    modules = model_files.loaded_modules()
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        foreign = [part for part in registry.foreign() if issubclass(part, Engine)]
        packed: bytes = cloudpickle.dumps((problem.model, str(problem.attitude), extra, foreign, sys.path))
    except Exception as error:
        raise OptionError(
            f"the model cannot be handed to worker processes ({type(error).__name__}: {error}); take workers=1"
        ) from error
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
    return packed


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
    import cloudpickle

    model, attitude, extra, foreign, path = cloudpickle.loads(_parcels[0])
    sys.path += [folder for folder in path if folder not in sys.path]
    registry.admit(foreign)
    compilation = Compilation(Problem.read(model, attitude))
    return Response(compilation.problem, compilation=compilation, warm=False), extra


def _do(task: Callable[..., Any], *arguments: Any) -> Any:
    """In a worker: a task, with what is held there."""
    return task(*held(), *arguments)


@register("processes")
class Processes(Pool):
    """Processes of this machine, one thread each.

    Take it when an evaluation takes a tenth of a second or more and there are cores to spare; below that the run's own
    process, ``workers=1``, is faster.
    """

    def __init__(self, problem: Problem, extra: Any, count: int) -> None:
        self._parcel = pack(problem, extra)
        self._executor = executor(self._parcel, count)

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = self._executor.submit(_do, task, *arguments)
        return future

    def anew(self, count: int) -> Processes:
        again = object.__new__(Processes)
        again._parcel, again._executor = self._parcel, executor(self._parcel, count)
        return again

    def close(self, wait: bool = False) -> None:
        self._executor.shutdown(wait=wait, kill_workers=True)
