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
from functools import cache
from typing import Any

import numpy as np

from bilevel import registry
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine
from bilevel.errors import OptionError
from bilevel.files import model_files
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.replies import Reply
from bilevel.response.response import Response
from bilevel.solvers.pools.interrupts import hearing_late

_PARTS = 4  # of the points, per worker: none waits long for another that has the slower ones


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


def pool(parcel: bytes, count: int) -> Any:
    """An executor of so many processes, started; they end with this one, and do not hear Ctrl-C."""
    from loky import ProcessPoolExecutor

    # A thread each: linear algebra that starts more in every process only makes them wait for each other.
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
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


def answers(problem: Problem, rows: Array, count: int) -> list[Reply]:
    """The followers' answers at many upper points, shape (n, number of upper variables), by so many workers.

    Where a worker dies, what it was at is tried once more by one of its own; points of which that dies as well failed.
    """
    parcel = pack(problem)
    parts = np.array_split(rows, max(1, min(len(rows), _PARTS * count)))
    crowd = pool(parcel, count)
    try:
        futures = [crowd.submit(_answer, part) for part in parts]
        found = [_outcome(future, part, parcel) for future, part in zip(futures, parts, strict=True)]
    finally:
        crowd.shutdown(wait=False, kill_workers=True)
    return [reply for replies in found for reply in replies]


def _answer(rows: Array) -> list[Reply]:
    """In a worker: one after the other."""
    response, _ = held()
    return [response(x) for x in rows]


def _outcome(future: Any, rows: Array, parcel: bytes) -> list[Reply]:
    from concurrent.futures.process import BrokenProcessPool

    try:
        found: list[Reply] = future.result()
        return found
    except BrokenProcessPool:
        alone = pool(parcel, 1)
    try:
        found = alone.submit(_answer, rows).result()
        return found
    except BrokenProcessPool as error:
        message = "the worker process died at one of these points: " + " ".join(str(error).split())
        return [Reply(Status.FAILED, message=message) for _ in rows]
    finally:
        alone.shutdown(wait=False, kill_workers=True)
