"""Studies in a MySQL or MariaDB database, in Optuna's tables."""

from __future__ import annotations

from typing import Any

from bilevel.contracts.storage import Kept, Storage
from bilevel.registry import register
from bilevel.solvers.storages.trials.tables import Tables, opened, with_driver

_DRIVERS = ("pymysql", "MySQLdb")


@register("mysql")
class MySQL(Storage):
    """A MySQL or MariaDB database: ``mysql://user@host:port/database``; needs ``pymysql`` or ``mysqlclient``.

    Take it when that is the server you have; ``postgresql`` is the one that is tested.
    """

    def open(self, address: Any, name: str) -> Kept:
        scheme, _, rest = str(address).partition("://")
        url = with_driver(str(address), _DRIVERS)
        shown = f"{scheme}://{rest.rpartition('@')[2]}"  # without the password
        return Tables(opened(url, shown), name, shown)
