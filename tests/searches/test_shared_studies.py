"""Several drivers at one study: they hear of each other, do nothing twice, and free what one of them left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pyomo.environ as pyo
import pytest
from histories import StopAt
from kept_studies import TOOLS, postgresql, workshop

import bilevel
from bilevel import LowerLevel, registry
from bilevel.contracts.storage import State
from bilevel.errors import OptionError, StudyError
from bilevel.solvers.loop.records import told_by_others
from bilevel.solvers.storages.trials import among_drivers

HERE = Path(__file__).parent
slow = pytest.mark.slow


def listed(function, count=6):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(within=pyo.Set(initialize=range(count)))
    model.lower = LowerLevel(response=function)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return model


@pytest.fixture(params=["journal", pytest.param("sqlite", marks=slow), pytest.param("object", marks=slow)])
def study(request, tmp_path):
    if request.param == "object":
        return optuna.storages.InMemoryStorage()
    return f"{tmp_path}/study.log" if request.param == "journal" else f"sqlite:///{tmp_path}/study.db"


def trials_of(study):
    kept = registry.study_at(study)
    found = [
        (trial.state, trial.params)
        for trial in kept.optuna().get_all_trials(kept.optuna().get_all_studies()[0]._study_id)
    ]
    kept.close()
    return found


@pytest.mark.parametrize("search", ["grid", "surrogate"])
def test_a_driver_does_what_no_other_does(study, search):
    """The other one comes while a point is evaluated here, and leaves once nothing but that is to be done."""
    asked = []

    def train(x):
        asked.append(x["x"])
        if len(asked) == 2:
            other.append(bilevel.solve(model, search, budget=6, study=study, shared=True, observer=StopAt(5)))
        return {"y": (x["x"] - 3) ** 2}

    other, model = [], listed(train)
    result = bilevel.solve(model, search, budget=6, study=study, shared=True)
    ours, theirs = asked[:2], asked[2:6]
    assert sorted(ours + theirs) == list(range(6)), "a point was evaluated twice, or not at all"
    assert (result.verdict, result.upper["x"], result.evaluations) == ("certified_global", 3, 6)
    assert (other[0].termination, other[0].evaluations) == ("interrupted", 5)
    assert "4 of 6 evaluations are of other drivers of the study" in result.notes
    assert [state.name for state, _ in trials_of(study)] == ["COMPLETE"] * 6
    again = bilevel.solve(model, search, budget=4, study=study, shared=True)
    assert (again.evaluations, again.upper["x"]) == (6, 3)


def test_what_a_dead_driver_left_behind_is_freed_and_done(study):
    model = listed(lambda x: {"y": float(x["x"])})
    bilevel.solve(model, "grid", budget=1, study=study, shared=True)
    kept = registry.study_at(study)
    list(kept.trials())
    kept.create([False], told_space(model).dimensions)
    dead = kept.shared()
    dead.begin({"x": 4})
    dead._ended.set()  # it is heard of no more
    dead._thread.join()
    waits = bilevel.solve(model, "grid", budget=6, study=study, shared=True, observer=StopAt(5))
    assert {e.upper["x"] for e in waits.history} == {0, 1, 2, 3, 5}
    forget(study, dead)
    done = bilevel.solve(model, "grid", budget=6, study=study, shared=True)
    assert (done.verdict, done.evaluations) == ("certified_global", 6)
    assert sorted(str(state.name) for state, _ in trials_of(study)) == ["COMPLETE"] * 6 + ["FAIL"]
    dead._mine.clear()
    dead.close()
    kept.close()


def told_space(model):
    from bilevel.programs.compilation import Compilation
    from bilevel.reading.problem import Problem
    from bilevel.upper.space import Space

    return Space(Compilation.of(Problem.read(model)))


def forget(study, dead):
    """As if its last sign of life were an hour ago."""
    (own,) = dead._mine.values()
    if not dead._beats:
        dead._storage.set_trial_system_attr(own, among_drivers._ALIVE, time.time() - 3600.0)
        return
    from sqlalchemy import text

    with dead._storage._backend.engine.begin() as connection:
        connection.execute(text("update trial_heartbeats set heartbeat = '2001-01-01 00:00:00'"))


def test_points_that_wait_and_those_of_others_are_heard_of(study):
    model = listed(lambda x: {"y": float(x["x"])}, 40)
    bilevel.solve(model, "random", budget=2, study=study, shared=True, enqueue=[{"x": 7}])
    kept = registry.study_at(study)
    kept.enqueue({"x": 9})
    kept.close()
    result = bilevel.solve(model, "surrogate", budget=6, study=study, shared=True, workers=1)
    assert result.evaluations == 6
    assert {7, 9} <= {e.upper["x"] for e in result.history}


def test_what_goes_wrong_is_told(tmp_path):
    model = listed(lambda x: {"y": float(x["x"])})
    with pytest.raises(OptionError, match="give its address"):
        bilevel.solve(model, "random", budget=2, shared=True)
    with pytest.raises(OptionError, match="repeats is for a run that has its study for itself"):
        bilevel.solve(model, "random", budget=2, study=f"{tmp_path}/a.log", shared=True, repeats=3)
    bilevel.solve(model, "random", budget=2, study=f"{tmp_path}/a.log")
    with pytest.raises(StudyError, match=r"holds the study of one run; name another to be shared: .*a\.log#shared"):
        bilevel.solve(model, "random", budget=2, study=f"{tmp_path}/a.log", shared=True)
    bilevel.solve(model, "random", budget=2, study=f"{tmp_path}/b.log", shared=True)
    with pytest.raises(StudyError, match="is shared by several drivers; say shared=True"):
        bilevel.solve(model, "random", budget=2, study=f"{tmp_path}/b.log")
    with pytest.raises(StudyError, match="the space of x"):
        bilevel.solve(listed(lambda x: {"y": 1.0}, 7), "random", budget=3, study=f"{tmp_path}/b.log", shared=True)


def test_a_driver_that_is_stopped_leaves_nothing_running(study):
    def train(x):
        if x["x"] == 2:
            raise KeyboardInterrupt
        return {"y": float(x["x"])}

    stopped = bilevel.solve(listed(train), "grid", budget=6, study=study, shared=True)
    assert stopped.termination == "interrupted"
    assert [state.name for state, _ in trials_of(study)] == ["COMPLETE", "COMPLETE", "FAIL"]


DRIVER = """
import sys, time
sys.path[:0] = sys.argv[1:3]
from kept_studies import workshop
import bilevel
from bilevel.solvers.storages.trials import among_drivers
among_drivers.BEAT = 1
model = workshop()
made = model.lower._response
model.lower._response = lambda x: (time.sleep(0.15), made(x))[1]
result = bilevel.solve(model, sys.argv[4], budget=40, study=sys.argv[3], shared=True, time_limit=100)
print(result.evaluations, result.upper_objective)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "sqlite", "journal"])
def test_three_drivers_of_which_one_is_killed(kind, tmp_path):
    if kind == "postgresql":
        if TOOLS is None:
            pytest.skip("Debian's package postgresql")
        with postgresql(tmp_path) as address:
            insist_on_three(f"{address}#shop")
    else:
        insist_on_three(f"{tmp_path}/study.log" if kind == "journal" else f"sqlite:///{tmp_path}/study.db")


def insist_on_three(address):
    def start(search):
        command = [sys.executable, "-c", DRIVER, str(HERE), str(HERE.parent), address, search]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    bilevel.solve(workshop(), "random", budget=1, study=address, shared=True)
    drivers = [start(search) for search in ("rbf", "random", "gp")]
    deadline = time.monotonic() + 60
    while len(trials_of(address)) < 15 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(drivers[1].pid, signal.SIGKILL)
    ends = [driver.communicate(timeout=150) for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, -signal.SIGKILL, 0], ends
    found = [float(ends[k][0].split()[1]) for k in (0, 2)]
    states = [state.name for state, _ in trials_of(address)]
    assert "RUNNING" not in states
    assert states.count("COMPLETE") + states.count("FAIL") >= 40
    done = [tuple(sorted(p.items())) for state, p in trials_of(address) if state.name == "COMPLETE"]
    assert len(set(done)) == len(done)
    assert max(found) == pytest.approx(min(found), abs=0.2)
    best = bilevel.solve(workshop(), "random", budget=1, study=address, shared=True)
    assert best.upper_objective >= max(found) - 1e-9


def test_of_a_foreign_trial_F_is_what_stands_there():
    from bilevel.contracts.storage import Trial

    space = told_space(listed(lambda x: {"y": 1.0}))
    evaluation = told_by_others(Trial({"x": 2}, State.COMPLETE, (3.0,), (0.5,)), 4, space, [-1])
    assert (evaluation.index, evaluation.point, evaluation.cost, evaluation.upper_violation) == (4, (2,), -3.0, 0.5)
    assert not evaluation.feasible
