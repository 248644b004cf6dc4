"""Studies in a PostgreSQL database, in Optuna's tables."""

from __future__ import annotations

from typing import Any

from bilevel.contracts.storage import Kept, Storage
from bilevel.registry import register
from bilevel.solvers.storages.trials.tables import Tables, opened, with_driver

_DRIVERS = ("psycopg", "psycopg2")


@register("postgresql")
class PostgreSQL(Storage):
    """A PostgreSQL database: ``postgresql://user@host:port/database``; needs ``psycopg`` or ``psycopg2``.

    Take it when several machines read one study while it grows; on one machine ``sqlite`` or ``journal`` needs no
    server.
    """

    def open(self, address: Any, name: str) -> Kept:
        scheme, _, rest = str(address).partition("://")
        url = with_driver(str(address), _DRIVERS)
        shown = f"{scheme}://{rest.rpartition('@')[2]}"  # without the password
        return Tables(opened(url, shown), name, shown)
