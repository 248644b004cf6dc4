"""Studies wherever they are kept: the same to the last bit when a run goes on, and all that Optuna is to read of them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import commands
import optuna
import pyomo.environ as pyo
import pytest
from histories import StopAt, told
from kept_studies import TOOLS, postgresql, workshop

import bilevel
from bilevel.command_line.main import main
from bilevel.errors import StudyError
from bilevel.solvers.storages.trials import journal_file, tables

HERE = Path(__file__).parent
slow = pytest.mark.slow


def address_of(kind, folder):
    return {
        "journal": f"{folder}/study.log#shop",
        "sqlite": f"sqlite:///{folder}/study.db#shop",
        "object": (optuna.storages.InMemoryStorage(), "shop"),
        "tables": (optuna.storages.RDBStorage(f"sqlite:///{folder}/own.db"), "shop") if kind == "tables" else None,
    }[kind]


def optunas(address):
    """The study as Optuna's own programs open it."""
    if isinstance(address, tuple):
        return optuna.load_study(storage=address[0], study_name=address[1])
    place, _, name = address.partition("#")
    return optuna.load_study(storage=storage_of(place), study_name=name or "bilevel")


def let_go(study):
    """Of the connections that Optuna would leave to Python's collector."""
    storage = getattr(study._storage, "_backend", study._storage)
    if hasattr(storage, "engine"):
        storage.remove_session()
        storage.engine.dispose()


def storage_of(place):
    if "://" in place:
        return place.replace("postgresql://", "postgresql+psycopg://")
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(place))


def solve(address, budget, search="rbf", **more):
    return bilevel.solve(workshop(), search, budget=budget, seed=2, study=address, **more)


def insist_on_all_of_it(address):
    """A stopped run goes on as one that was not, and Optuna finds parameters, values, constraints and reasons."""
    whole = solve(optuna.storages.InMemoryStorage(), 24)  # a study is told no budget
    stopped = solve(address, 24, observer=StopAt(9))
    assert stopped.evaluations == 9
    resumed = solve(address, 24)
    assert told(resumed) == told(whole)
    assert any("9 of 24" in note for note in resumed.notes)
    study = optunas(address)
    assert study.direction is optuna.study.StudyDirection.MAXIMIZE
    assert study.user_attrs == {"method": "rbf", "seed": "2"}
    assert study.best_value == whole.upper_objective
    assert study.best_params == whole.upper
    for trial, evaluation in zip(study.trials, whole.history, strict=True):
        assert trial.params == evaluation.upper
        assert trial.user_attrs["seed"] == "2"
        if evaluation.answered:
            assert trial.value == evaluation.upper_objective
            assert trial.system_attrs["constraints"] == [evaluation.upper_violation]
            assert trial.user_attrs["lower"] == evaluation.lower
        else:
            assert trial.state is optuna.trial.TrialState.FAIL
            assert "too wide for ash" in trial.user_attrs["reason"]
    kinds = {name: type(d).__name__ for name, d in study.trials[0].distributions.items()}
    assert kinds == {
        "rate": "FloatDistribution",
        "size": "FloatDistribution",
        "width": "CategoricalDistribution",
        "kind": "CategoricalDistribution",
    }
    let_go(study)
    few = solve(address, 5)
    assert few.upper_objective == whole.upper_objective
    assert any("the best of all" in note for note in few.notes)
    with pytest.raises(StudyError, match="seed 2 there, 3 here"):
        bilevel.solve(workshop(), "rbf", budget=24, seed=3, study=address)


@pytest.mark.parametrize("kind", ["journal", "sqlite", "object", pytest.param("tables", marks=slow)])
def test_a_study_is_one_of_optunas(kind, tmp_path):
    address = address_of(kind, tmp_path)
    insist_on_all_of_it(address)
    if kind == "tables":
        address[0].remove_session()
        address[0].engine.dispose()


@slow
@pytest.mark.skipif(TOOLS is None, reason="Debian's package postgresql")
def test_postgresql(tmp_path):
    with postgresql(tmp_path) as address:
        insist_on_all_of_it(f"{address}#shop")
        assert main(["study", "list", address]) == 0


def answers(port):
    """Whether somebody listens there: on a loaded machine a server takes its time to start."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@slow
def test_a_server_of_optunas(tmp_path):
    """One process stands before the file; runs reach it by the network."""
    pytest.importorskip("grpc")
    program = (
        "import optuna, sys; optuna.storages.run_grpc_proxy_server("
        "optuna.storages.RDBStorage(sys.argv[1]), host='127.0.0.1', port=int(sys.argv[2]))"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with commands.started([sys.executable, "-c", program, f"sqlite:///{tmp_path}/study.db", str(port)]):
        address = f"grpc://127.0.0.1:{port}"
        whole = solve(optuna.storages.InMemoryStorage(), 12)
        commands.wait_for(lambda: answers(port))
        assert solve(address, 12, observer=StopAt(5)).evaluations == 5
        assert told(solve(address, 12)) == told(whole)


KILLED = """
import sys
sys.path[:0] = sys.argv[1:3]
from kept_studies import workshop
import bilevel
bilevel.solve(workshop(), "rbf", budget=40, seed=2, study=sys.argv[3])
"""


@slow
@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_ten_kills_at_random_instants(kind, tmp_path):
    """Nothing that ended is lost, and the end is that of a run that nobody killed."""
    address, rng = address_of(kind, tmp_path), random.Random(5)
    command = [sys.executable, "-c", KILLED, str(HERE), str(HERE.parent), address]
    kept = 0
    for _ in range(10):
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 60
        while run.poll() is None and stored(address) <= kept + rng.randrange(3) and time.monotonic() < deadline:
            time.sleep(rng.random() * 0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        assert stored(address) >= kept
        kept = stored(address)
    assert kept > 0
    assert told(solve(address, 40)) == told(solve(optuna.storages.InMemoryStorage(), 40))


def stored(address):
    place = address.partition("#")[0].removeprefix("sqlite:///")
    if not os.path.exists(place):
        return 0
    if place.endswith(".log"):
        return Path(place).read_bytes().count(b'"op_code":4')
    with contextlib.closing(sqlite3.connect(place, timeout=10)) as database, contextlib.suppress(sqlite3.Error):
        return database.execute("select count(*) from trials").fetchone()[0]
    return 0


def test_a_line_that_was_torn_is_taken_away(tmp_path):
    address = f"{tmp_path}/study.log"
    whole = told(solve(address, 8, "random"))
    file = Path(address)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    (tmp_path / "study.log.lock").symlink_to(file)  # and who wrote it held the lock
    os.utime(tmp_path / "study.log.lock", (1, 1), follow_symlinks=False)
    again = solve(address, 8, "random")
    assert told(again) == whole
    assert any("7 of 8" in note for note in again.notes)


def test_a_full_disk_takes_whole_trials_or_none(tmp_path, monkeypatch):
    address, plain, room = f"{tmp_path}/study.log", os.write, [6000]

    def full(file, data):
        room[0] -= len(data)
        if room[0] < 0:
            plain(file, bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(file, data)

    monkeypatch.setattr(journal_file.os, "write", full)
    with pytest.raises(StudyError, match="No space left"):
        solve(address, 20, "random")
    monkeypatch.undo()
    before = stored(address)
    assert before > 0
    again = solve(address, 20, "random")
    assert any(f"{before} of 20" in note for note in again.notes)
    assert told(again) == told(bilevel.solve(workshop(), "random", budget=20, seed=2))


@slow
def test_a_locked_database_is_an_error_and_loses_nothing(tmp_path, monkeypatch):
    from bilevel.solvers.storages import sqlite

    monkeypatch.setattr(sqlite, "_PATIENCE", 0.1)
    address = f"sqlite:///{tmp_path}/study.db"
    solve(address, 6, "random")
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(StudyError, match="locked"):
            solve(address, 12, "random")
        other.execute("rollback")
    assert told(solve(address, 12, "random")) == told(bilevel.solve(workshop(), "random", budget=12, seed=2))


def test_points_may_be_given(tmp_path):
    """By the call, or waiting in the study; a run that goes on has them where they stood."""
    address, points = f"{tmp_path}/study.log", tmp_path / "points.json"
    first = {"rate": 0.1, "size": 0.3, "width": 1, "kind": "pine"}
    result = solve(address, 6, enqueue=[first])
    assert result.history[0].upper == first
    assert result.upper == first
    points.write_text(json.dumps([{**first, "width": 2}, first]))  # the second is known
    assert main(["study", "enqueue", address, str(points)]) == 0
    longer = solve(address, 9)
    assert longer.history[6].upper == {**first, "width": 2}
    assert told(longer)[:6] == told(result)
    assert told(solve(address, 12))[:9] == told(longer)
    assert len({evaluation.point for evaluation in solve(address, 12).history}) == 12
    states = [trial.state.name for trial in optunas(address).trials]
    assert states.count("WAITING") == 1
    with pytest.raises(StudyError, match="no value for kind"):
        bilevel.solve(workshop(), "rbf", budget=3, enqueue=[{"rate": 0.1, "size": 0.3, "width": 1}])
    with pytest.raises(StudyError, match="kind = 'elm'"):
        bilevel.solve(workshop(), "rbf", budget=3, enqueue=[{**first, "kind": "elm"}])
    with pytest.raises(StudyError, match="rate = 2"):
        bilevel.solve(workshop(), "rbf", budget=3, enqueue=[{**first, "rate": 2}])


def test_several_objectives_and_pruned_points_are_optunas_too(tmp_path):
    model, address = workshop(), f"{tmp_path}/study.log"
    model.weight = pyo.Objective(expr=model.lower.weight)
    whole = bilevel.solve(model, "random", budget=8, seed=2)
    bilevel.solve(model, "random", budget=5, seed=2, study=address)
    assert told(bilevel.solve(model, "random", budget=8, seed=2, study=address)) == told(whole)
    study = optunas(address)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    for trial, evaluation in zip(study.trials, whole.history, strict=True):
        assert trial.values == (list(evaluation.upper_objectives.values()) if evaluation.answered else None)

    def reporting(x, trial):
        for step in range(1, 4):
            trial.report(1 - x["rate"], step)
            if trial.should_prune():
                raise bilevel.TrialPruned
        return {"loss": x["rate"], "weight": 1.0}

    model, address = workshop(), f"{tmp_path}/pruned.log"
    model.lower._response = reporting
    whole = bilevel.solve(model, "random", budget=12, seed=2, pruner="median", study=address)
    pruned = [e.index for e in whole.history if e.pruned]
    assert pruned
    trials = optunas(address).trials
    assert [trial.number for trial in trials if trial.state is optuna.trial.TrialState.PRUNED] == pruned
    assert [trial.intermediate_values for trial in trials] == [dict(e.reports) for e in whole.history]


def test_a_study_begun_by_optuna_is_taken_over(tmp_path):
    address = f"{tmp_path}/study.log"
    study = optuna.create_study(storage=storage_of(address), study_name="bilevel", direction="maximize")

    def objective(trial):
        rate = trial.suggest_float("rate", 1e-3, 1.0, log=True)
        trial.suggest_categorical("width", [1, 2, 4])
        trial.suggest_categorical("kind", ["oak", "pine"])
        return 1 - (rate - 0.1) ** 2 - abs(trial.suggest_float("size", 0.1, 0.4, step=0.1) - 0.3)

    study.sampler = optuna.samplers.RandomSampler(seed=0)
    study.optimize(objective, n_trials=5)
    result = solve(address, 12)
    assert [e.upper for e in result.history[:5]] == [trial.params for trial in study.trials[:5]]
    assert [e.upper_objective for e in result.history[:5]] == [trial.value for trial in study.trials[:5]]
    assert any("5 points of the study were evaluated by others" in note for note in result.notes)
    assert result.verdict == "best_found"
    assert told(solve(address, 15))[:12] == told(result)
    other = tmp_path / "other.log"
    stranger = optuna.create_study(storage=storage_of(str(other)), study_name="bilevel", direction="maximize")
    stranger.optimize(lambda trial: trial.suggest_float("depth", 0, 1), n_trials=1)
    with pytest.raises(StudyError, match="depth, which is no upper variable"):
        solve(str(other), 3)


def test_what_is_in_a_study_is_listed_shown_and_taken_elsewhere(tmp_path, capsys):
    address, copy = f"{tmp_path}/study.log", f"sqlite:///{tmp_path}/copy.db"
    result = solve(address, 9)
    assert main(["study", "list", address]) == 0
    assert capsys.readouterr().out == "bilevel: 9 trials\n"
    assert main(["study", "show", address]) == 0
    shown = capsys.readouterr().out
    assert f"best F    {result.upper_objective:.10g}" in shown
    assert "method    rbf" in shown
    assert main(["study", "export", address, copy]) == 0
    assert told(solve(copy, 12)) == told(solve(address, 12))
    for ending in ("csv", "json"):
        table, taken = f"{tmp_path}/trials.{ending}", f"{tmp_path}/{ending}.log"
        assert main(["study", "export", address, table]) == 0
        assert main(["study", "import", taken, table, "--maximize"]) == 0
        over = solve(taken, 14)
        assert over.upper_objective >= result.upper_objective - 1e-9
        assert any("were evaluated by others" in note for note in over.notes)
    capsys.readouterr()
    assert main(["study", "show", f"{tmp_path}/none.log"]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["study", "show", f"{address}#other"]) == 2
    assert "there are bilevel" in capsys.readouterr().err


@pytest.mark.parametrize(("scheme", "driver"), [("mysql", "pymysql"), ("postgresql", "psycopg")])
def test_a_database_without_a_driver_names_what_to_install(scheme, driver, monkeypatch):
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match=f"needs a driver, {driver} or .*: pip install {driver}") as told_so:
        bilevel.solve(workshop(), "random", budget=2, study=f"{scheme}://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(told_so.value)
