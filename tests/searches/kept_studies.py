"""A small search whose study may stand anywhere, and what Optuna reads of it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyomo.environ as pyo

import bilevel

TOOLS = next(
    (Path(f"/usr/lib/postgresql/{n}/bin") for n in range(30, 9, -1) if os.path.isdir(f"/usr/lib/postgresql/{n}/bin")),
    None,
)


def workshop():
    """A real, an even and an uneven sequence, words and a follower that fails in a corner."""
    model = pyo.ConcreteModel()
    model.rate = pyo.Var(bounds=(1e-3, 1.0))
    bilevel.set_scale(model.rate, "log")
    model.size = pyo.Var(within=pyo.Set(initialize=[0.1, 0.2, 0.3, 0.4]))
    model.width = pyo.Var(within=pyo.Set(initialize=[1, 2, 4, 8]))
    model.kind = pyo.Var(within=pyo.Set(initialize=["oak", "pine", "ash"]))

    def made(x):
        if x["width"] == 8 and x["kind"] == "ash":
            raise ValueError("too wide for ash")
        return {"loss": (x["rate"] - 0.1) ** 2 + abs(x["size"] - 0.3) + (x["kind"] == "oak"), "weight": x["width"] ** 2}

    model.lower = bilevel.LowerLevel(response=made)
    model.lower.loss = pyo.Var()
    model.lower.weight = pyo.Var()
    model.light = pyo.Constraint(expr=model.lower.weight <= 20)
    model.gain = pyo.Objective(expr=1 - model.lower.loss, sense=pyo.maximize)
    return model


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A server of Debian's package on a free port, in a folder of its own, as nobody where this is root; its address."""
    assert TOOLS is not None
    who = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    place = folder / "database"
    place.mkdir()
    parents = [folder, *folder.parents]
    if who is not None:
        os.chown(place, who.pw_uid, who.pw_gid)
        for parent in parents:
            if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    as_who = {} if who is None else {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}

    def tool(*command: str) -> None:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, **as_who)
        assert done.returncode == 0, done.stderr + done.stdout

    data = str(place / "data")
    tool(str(TOOLS / "initdb"), "-D", data, "-A", "trust", "-U", "bilevel", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {place} -c fsync=off"
    tool(str(TOOLS / "pg_ctl"), "-D", data, "-w", "-l", str(place / "log"), "-o", options, "start")
    try:
        yield f"postgresql://bilevel@127.0.0.1:{port}/postgres"
    finally:
        tool(str(TOOLS / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(place)
