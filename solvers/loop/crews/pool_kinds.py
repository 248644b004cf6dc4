"""Which kind of pool is meant by what was asked for."""

from __future__ import annotations

from typing import Any

from bilevel import registry
from bilevel.contracts.pool import Pool
from bilevel.errors import OptionError

POOL = "processes"


def pool_of(where: Any) -> type[Pool]:
    """The kind of pool: processes for a number, by the scheme of an address, else an executor's.

    Raises
    ------
    OptionError
        If no pool is called by the scheme.
    """
    if isinstance(where, int):
        return registry.get(Pool, POOL)
    if not isinstance(where, str):
        return registry.get(Pool, "executor")
    kind = registry.find(Pool, where.partition("://")[0])
    if kind is None or "://" not in where:
        raise OptionError(f"workers={where!r}: a number of processes, or dask://host:port")
    return kind
