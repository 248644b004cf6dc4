"""Any executor of Python's kind: a cluster's, a batch system's, another library's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from typing import Any

from bilevel.contracts.pool import Pool
from bilevel.errors import OptionError
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.solvers.pools.parcel import packed
from bilevel.solvers.pools.sending import Sending, released


@register("executor")
class GivenExecutor(Pool):
    """Any ``concurrent.futures.Executor`` a program holds: Dask's, mpi4py's, submitit's, whose workers import bilevel.

    ``where`` is the executor, or a pair of it and the number of its workers, where it does not say that itself.

    Take it when something else than ``dask`` or ``processes`` runs your jobs.
    """

    together = False

    def __init__(self, problem: Problem, extra: Any, where: Any) -> None:
        self._executor, self._count = _read(where)
        self._sending = Sending(self._executor, packed(problem, extra), lambda error: isinstance(error, BrokenExecutor))

    @classmethod
    def workers(cls, where: Any) -> int:
        return _read(where)[1]

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._sending.submit(task, *arguments)

    def anew(self, count: int) -> GivenExecutor:
        """The same: it is the caller's."""
        return self

    def close(self, wait: bool = False) -> None:
        """Leave the executor open; what runs isolated beside its workers is ended, as far as they can be reached."""
        with suppress(Exception):
            for _ in range(self._count):
                self._executor.submit(released)


def _read(where: Any) -> tuple[Any, int]:
    executor, count = where if isinstance(where, tuple) else (where, None)
    if not hasattr(executor, "submit"):
        raise OptionError(f"executor={executor!r}: a concurrent.futures.Executor is wanted")
    count = count or getattr(executor, "_max_workers", None)
    if not isinstance(count, int):
        raise OptionError("executor= does not say how many workers it has; say it by workers=")
    return executor, count
