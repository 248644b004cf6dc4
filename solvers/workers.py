"""Where points are evaluated: here, or by worker processes that hold the model compiled.

Workers are fresh processes (loky's, the pool under scikit-learn's ``n_jobs``), not forks: HiGHS, BLAS and a search that
was turned inside out hold threads, and a fork of those may hang. The model travels once to each worker by cloudpickle,
which takes lambdas, closures and what stands in the user's own file, so that a script needs no
``if __name__ == "__main__"``. An evaluation depends on its point alone, so who does it cannot be seen in a history.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from bilevel import loading, registry
from bilevel.archive import Evaluation
from bilevel.compiling import Compilation
from bilevel.contracts import Engine, Point, Status
from bilevel.errors import OptionError
from bilevel.problem import Problem
from bilevel.response import Response
from bilevel.solvers.gradients import Gradients, differentiator
from bilevel.space import Space

if TYPE_CHECKING:
    from bilevel.solvers.outer_loop import Evaluate

Arrived = Callable[[Evaluation], None]


class Crew(Protocol):
    """Evaluates points; outcomes come out in the order in which the points went in."""

    def submit(self, point: Point, index: int) -> None:
        """Take one more point."""

    def take(self, deadline: float) -> Evaluation | None:
        """The outcome of the oldest point; None where the deadline, on the monotonic clock, comes first."""

    def finished(self) -> list[Evaluation]:
        """Outcomes that are there and were not taken, in the order of their points."""

    def close(self) -> None:
        """Let go of everything; what still runs is stopped."""


class Alone:
    """Evaluates in this process.

    Parameters
    ----------
    evaluate : Evaluate
        What evaluates.
    arrived : callable
        Called with every outcome as soon as it is there.
    """

    def __init__(self, evaluate: Evaluate, arrived: Arrived) -> None:
        self._evaluate, self._arrived = evaluate, arrived
        self._waiting: deque[tuple[Point, int]] = deque()

    def submit(self, point: Point, index: int) -> None:
        self._waiting.append((point, index))

    def take(self, deadline: float) -> Evaluation | None:
        self._evaluate.ahead([point for point, _ in self._waiting])
        evaluation = self._evaluate(*self._waiting.popleft())
        self._arrived(evaluation)
        return evaluation

    def finished(self) -> list[Evaluation]:
        return []

    def close(self) -> None:
        pass


class Workers:
    """Evaluates in worker processes.

    A point whose worker dies (killed for its memory, a fault in a library) is tried once more alone; if that worker
    dies as well the point is a failed one, and the search goes on.

    Parameters
    ----------
    problem : Problem
        Handed to each worker.
    space : Space
        Gives a point's values where no worker lived to do so.
    count : int
        How many processes.
    gradients : Gradients
        Which evaluations carry dF/dx.
    arrived : callable
        Called with every outcome as soon as it is there, in this process.

    Raises
    ------
    OptionError
        If the model cannot be handed to another process.
    """

    def __init__(self, problem: Problem, space: Space, count: int, gradients: Gradients, arrived: Arrived) -> None:
        self._space, self._count, self._arrived = space, count, arrived
        self._parcel = _pack(problem, gradients)
        self._waiting: deque[tuple[Point, int]] = deque()
        self._running: dict[Any, int] = {}
        self._done: dict[int, Evaluation] = {}
        self._pool = self._made(count)

    def _made(self, count: int) -> Any:
        from loky import ProcessPoolExecutor

        # A thread each: linear algebra that starts more in every process only makes them wait for each other.
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        pool = ProcessPoolExecutor(count, initializer=_settle, initargs=(self._parcel, os.getpid()), env=one)
        try:
            with hearing_late():
                pool.submit(_ready)  # the first task starts all the processes
        except KeyboardInterrupt:
            pool.shutdown(wait=False, kill_workers=True)
            raise
        return pool

    def submit(self, point: Point, index: int) -> None:
        self._waiting.append((point, index))
        self._send(point, index)

    def _send(self, point: Point, index: int) -> None:
        self._running[self._pool.submit(_work, point, index)] = index

    def take(self, deadline: float) -> Evaluation | None:
        _, index = self._waiting[0]
        while index not in self._done:
            if not self._collect(deadline):
                return None
        self._waiting.popleft()
        return self._done.pop(index)

    def _collect(self, deadline: float) -> bool:
        """Wait for an outcome; False where the deadline comes first."""
        from concurrent.futures import FIRST_COMPLETED, wait
        from concurrent.futures.process import BrokenProcessPool

        left = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
        ready, _ = wait(self._running, timeout=left, return_when=FIRST_COMPLETED)
        try:
            for future in sorted(ready, key=lambda future: self._running[future]):
                self._keep(future.result())
                del self._running[future]
        except BrokenProcessPool:
            self._recover()
            return True
        return bool(ready)

    def _keep(self, evaluation: Evaluation) -> None:
        self._done[evaluation.index] = evaluation
        self._arrived(evaluation)

    def _recover(self) -> None:
        """After a worker's death nobody knows whose point it was: what is out is tried one by one."""
        from concurrent.futures.process import BrokenProcessPool

        self._pool.shutdown(wait=False, kill_workers=True)
        self._running.clear()
        pool = self._made(1)
        for point, index in self._waiting:
            if index in self._done:
                continue
            try:
                self._keep(pool.submit(_work, point, index).result())
            except BrokenProcessPool as error:
                message = "the worker process died at this point: " + " ".join(str(error).split())
                values = self._space.values(point)
                self._keep(Evaluation(index, point, values, status=Status.FAILED, message=message))
                pool.shutdown(wait=False, kill_workers=True)
                pool = self._made(1)
        pool.shutdown(wait=False, kill_workers=True)
        self._pool = self._made(self._count)

    def finished(self) -> list[Evaluation]:
        for future, _ in list(self._running.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                del self._running[future]
                self._keep(future.result())
        return [self._done[index] for index in sorted(self._done)]

    def close(self) -> None:
        self._pool.shutdown(wait=True, kill_workers=True)


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


def _pack(problem: Problem, gradients: Gradients) -> bytes:
    """All that a worker needs, in bytes."""
    import cloudpickle

    modules = loading.loaded_modules()
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        foreign = [part for part in registry.foreign() if issubclass(part, Engine)]
        packed: bytes = cloudpickle.dumps((problem.model, str(problem.attitude), gradients, foreign, sys.path))
    except Exception as error:
        raise OptionError(
            f"the model cannot be handed to worker processes ({type(error).__name__}: {error}); take workers=1"
        ) from error
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
    return packed


_evaluate: list[Evaluate] = []  # in a worker: its own, once the model is compiled
_parcels: list[bytes] = []


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


def _work(point: Point, index: int) -> Evaluation:
    """Evaluate one point in a worker."""
    if not _evaluate:
        _evaluate.append(_unpack(_parcels[0]))
    return _evaluate[0](point, index)


def _unpack(parcel: bytes) -> Evaluate:
    import cloudpickle

    from bilevel.solvers.outer_loop import Evaluate

    model, attitude, gradients, foreign, path = cloudpickle.loads(parcel)
    sys.path += [folder for folder in path if folder not in sys.path]
    registry.admit(foreign)
    compilation = Compilation(Problem.read(model, attitude))
    response = Response(compilation.problem, compilation=compilation, warm=False)
    return Evaluate(Space(compilation), response, differentiator(compilation, gradients))
