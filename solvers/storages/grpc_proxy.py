"""Studies behind Optuna's gRPC server, which stands before a database for many machines."""

from __future__ import annotations

from typing import Any

from bilevel.contracts.storage import Kept, Storage
from bilevel.errors import StudyError
from bilevel.registry import register
from bilevel.solvers.storages.trials.as_optuna import clearly, quietly
from bilevel.solvers.storages.trials.through_optuna import ThroughOptuna

_PATIENCE = 20.0  # seconds for the server to answer


@register("grpc")
class GrpcProxy(Storage):
    """Optuna's storage server at ``grpc://host:port``; needs ``grpcio`` and ``protobuf``.

    Take it when machines reach a server of Optuna's and not the database behind it, else ``postgresql``.
    """

    def open(self, address: Any, name: str) -> Kept:
        host, _, port = str(address).partition("://")[2].rstrip("/").rpartition(":")
        if not (host and port.isdecimal()):
            raise StudyError(f"study {address}: write grpc://host:port")
        with clearly(str(address)), quietly():
            from optuna.storages import GrpcStorageProxy

            storage = GrpcStorageProxy(host=host, port=int(port))
            storage.wait_server_ready(_PATIENCE)
        return _Behind(storage, name, str(address))


class _Behind(ThroughOptuna):
    """Closes its channel."""

    def close(self) -> None:
        self._storage.close()
