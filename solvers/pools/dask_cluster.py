"""The workers of a Dask cluster: on this machine, by ssh, on Slurm, on Kubernetes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from bilevel.contracts.pool import Pool
from bilevel.errors import OptionError, first_line
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.solvers.pools.parcel import packed
from bilevel.solvers.pools.sending import Sending, released

_PATIENCE = 30.0  # seconds for the scheduler to answer, and for a first worker to come


@register("dask")
class DaskCluster(Pool):
    """A Dask cluster by its scheduler, ``dask://host:port``, with as many points out as it has workers, or ``#count``.

    A point whose worker dies is given to another by the scheduler, as often as it allows (``allowed-failures``), then
    once more by this run; then it is a failed one. The history is that of as many processes here. Where the scheduler
    goes away, all that was out is given to the one that is there again within half a minute.

    Take it when the work is more than one machine's; on one machine ``processes`` needs no cluster.
    """

    together = False

    def __init__(self, problem: Problem, extra: Any, where: Any) -> None:
        self._where, self._parcel = where, packed(problem, extra)
        self._connect()

    def _connect(self) -> None:
        self._client = _client(self._where)
        self._sending = Sending(self._client.get_executor(pure=False), self._parcel, _is_death, _is_loss)

    @classmethod
    def workers(cls, where: Any) -> int:
        count = str(where).partition("#")[2]
        if count:
            if not count.isdecimal() or count == "0":
                raise OptionError(f"workers={where!r}: behind # stands a number of workers")
            return int(count)
        client = _client(where)
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
            return len(client.scheduler_info(n_workers=-1)["workers"])
        except TimeoutError:
            raise OptionError(f"{where}: the scheduler has no worker; start one: dask worker host:port") from None
        finally:
            client.close()

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        if self._client.status != "running":
            with suppress(Exception):
                self._client.close(timeout=0.0)
            self._connect()
        return self._sending.submit(task, *arguments)

    def anew(self, count: int) -> DaskCluster:
        """The same: a cluster replaces its workers itself."""
        return self

    def close(self, wait: bool = False) -> None:
        """Forget all tasks; what runs isolated beside the workers is ended, as far as they can be reached."""
        with suppress(Exception):
            self._client.run(released, wait=False)
        self._client.close(timeout=_PATIENCE)


def _client(where: Any) -> Any:
    place = str(where).partition("#")[0].removeprefix("dask://").rstrip("/")
    try:
        import distributed
    except ImportError:
        raise OptionError(f"workers={where!r} needs the package distributed: pip install distributed") from None
    client: Any = distributed.Client  # untyped
    try:
        return client(place, timeout=_PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise OptionError(f"{where}: no Dask scheduler answers there ({first_line(error)})") from error


def _is_loss(error: BaseException) -> bool:
    """Whether the connection to the scheduler is gone, and with it all tasks."""
    return getattr(error, "reason", "") in ("scheduler-connection-lost", "scheduler-restart")


def _is_death(error: BaseException) -> bool:
    """Scheduler's word for a task whose workers died, or for one that it has lost with its memory."""
    return type(error).__name__ in ("KilledWorker", "FutureCancelledError", "CancelledError", "CommClosedError")
