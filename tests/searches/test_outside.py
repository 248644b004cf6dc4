"""Response functions as they are: wrong answers at a point, noise, processes that end; and what a run says of them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from concurrent.futures import BrokenExecutor, Future
from dataclasses import replace

import numpy as np
import pyomo.environ as pyo
import pytest
from histories import told

import bilevel
from bilevel import LowerLevel
from bilevel.errors import ModelError
from bilevel.response.response import Response
from bilevel.solvers.loop import study as outer_study
from bilevel.solvers.loop.granted_gradients import Gradients
from bilevel.solvers.loop.studies import study_at
from bilevel.solvers.pools.processes import Processes


class Unreadable(dict):
    def items(self):
        raise RuntimeError("not now")


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no text")


WRONG = [
    Unreadable(y=1.0),
    None,
    (1.0,),
    "text",
    {"y": 1.0, "z": 2.0},
    {"y": 1j},
    {},
    {"y": "a"},
    {"y": [1.0, 2.0]},
    {"y": np.nan},
]


def functional(function, **space):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(**(space or {"bounds": (0, 4)}))
    model.lower = LowerLevel(response=function)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return model


def listed(function, count=6, **space):
    return functional(function, within=pyo.Set(initialize=range(count)), **space)


@pytest.fixture
def study(tmp_path):
    return f"{tmp_path}/study.log"


# --------------------------------------------------------------------------------------------------- wrong answers


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_answer_after_a_right_one_is_a_failed_point(wrong, study):
    model = functional(lambda x: wrong if x["x"] > 3 else {"y": np.float32(x["x"])})
    result = bilevel.solve(model, "random", budget=12, seed=1, study=study)
    assert result.verdict == "best_found"
    failed = [e for e in result.history if e.upper["x"] > 3]
    assert failed
    assert all(e.status == "failed" and "response function of lower" in e.message for e in failed)
    assert sum(result.failures.values()) == len(failed) == sum(result.to_dict()["failures"].values())
    again = bilevel.solve(model, "random", budget=16, seed=1, study=study)
    assert told(again)[:12] == told(result)
    assert told(again) == told(bilevel.solve(model, "random", budget=16, seed=1))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_wrong_answer_before_any_right_one_is_the_functions_fault(workers, study):
    with pytest.raises(ModelError, match=r"must return a dict, not None; expected is \{'y': a number\}"):
        bilevel.solve(functional(lambda x: None), "random", budget=5, seed=1, study=study, workers=workers)
    mended = bilevel.solve(functional(lambda x: {"y": x["x"]}), "random", budget=5, seed=1, study=study)
    assert not mended.failures, "what the function got wrong is stored as the points' failure"


@pytest.mark.slow
def test_who_evaluates_cannot_be_seen_in_wrong_answers():
    model = functional(lambda x: None if x["x"] > 3 else {"y": x["x"]})
    alone = bilevel.solve(model, "random", budget=10, seed=1)
    assert told(alone) == told(bilevel.solve(model, "random", budget=10, seed=1, workers=2))


def test_leaving_the_process_is_a_failed_point():
    def train(x):
        if x["x"] > 3:
            sys.exit("no licence")
        return {"y": x["x"]}

    result = bilevel.solve(functional(train), "gp", budget=10, seed=0)
    assert result.verdict == "best_found"
    assert "failed points" in str(result)
    assert "SystemExit: no licence" in str(result)


@pytest.mark.parametrize("isolate", [False, True])
def test_what_is_raised_may_have_no_text(isolate):
    def train(x):
        if x["x"] > 1:
            raise MemoryError if x["x"] > 2 else Silent
        return {"y": x["x"]}

    model = functional(train)
    model.lower._limits = replace(model.lower._limits, isolated=isolate)
    result = bilevel.solve(model, "random", budget=8, seed=1)
    assert set(result.failures) == {"lower: MemoryError", "lower: Silent"}


@pytest.mark.parametrize("fails", [1, 2])
def test_a_function_that_fails_now_and_then_keeps_its_best_point(fails):
    calls = itertools.count()

    def train(x):
        if next(calls) in range(6, 6 + fails):
            raise OSError("the card is busy")
        return {"y": x["x"]}

    result = bilevel.solve(listed(train), "grid", budget=6)
    assert (result.verdict, result.upper["x"]) == ("certified_global", 0)
    assert any(f"asked again at the answer it failed {fails} times" in note for note in result.notes)


def test_a_function_that_never_answers_twice_is_told(study):
    known = set()

    def train(x):
        if x["x"] in known:
            raise OSError("the card is busy")
        known.add(x["x"])
        return {"y": x["x"]}

    result = bilevel.solve(listed(train), "grid", budget=6)
    assert result.verdict == "failed"
    assert "it had an answer in the search; asked again 3 times" in str(result.notes)


def test_failures_are_one_reason_where_numbers_alone_differ():
    def train(x):
        raise ValueError(f"diverged at step {x['x'] * 100:.3f}")

    result = bilevel.solve(functional(train), "random", budget=5, seed=0)
    assert list(result.failures.values()) == [5]
    assert result.verdict == "failed"


# ------------------------------------------------------------------------------------------------------------ noise


def noisy(mean, size, sense=pyo.minimize):
    rng = np.random.default_rng(0)
    model = listed(lambda x: {"y": mean(x["x"]) + size(x["x"]) * rng.normal()})
    model.obj.sense = sense
    return model


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("size", [1e-3, 1.0])
@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e5])
def test_an_enumeration_of_random_numbers_is_no_proof(unit, size, sense):
    model = noisy(lambda x: unit * (x - 2) ** 2, lambda x: unit * size, sense)
    result = bilevel.solve(model, "grid", budget=10)
    assert (result.verdict, result.termination, result.bound) == ("best_found", "stalled", None)
    assert result.noise > 0
    assert any("noisy" in note and "difference of" in note for note in result.notes)


def test_noise_that_is_none_at_the_best_point():
    result = bilevel.solve(noisy(lambda x: x, lambda x: 0.1 * x), "grid", budget=10)
    assert (result.verdict, result.upper["x"], result.bound) == ("best_found", 0, None)


def test_infeasible_for_random_numbers_is_no_proof():
    def solved(size):
        model = noisy(lambda x: x, lambda x: size)
        model.much = pyo.Constraint(expr=model.lower.y >= 50)
        return bilevel.solve(model, "grid", budget=10).verdict

    assert solved(0.0) == "infeasible"
    assert solved(0.1) == "failed"


@pytest.mark.parametrize("size", [0.0, 1e-11])
def test_rounding_is_no_noise(size):
    """At a best F of zero, too, where every difference is large relative to F itself."""
    result = bilevel.solve(noisy(lambda x: (x - 2) ** 2, lambda x: size), "grid", budget=10)
    assert (result.verdict, result.noise) == ("certified_global", None)


def test_a_function_is_asked_twice_at_the_answer():
    calls = []
    model = listed(lambda x: calls.append(x["x"]) or {"y": float(x["x"])})
    assert bilevel.solve(model, "random", budget=4, seed=0).verdict == "best_found"
    assert len(calls) == 4 + 2


# ------------------------------------------------------------------------------------- studies, and processes that end


@pytest.mark.parametrize("search", ["random", "gp"])
def test_a_study_reports_the_best_of_all_it_holds(search, study):
    model = functional(lambda x: {"y": (x["x"] - 1.3) ** 2})
    whole = bilevel.solve(model, search, budget=20, seed=2, study=study)
    few = bilevel.solve(model, search, budget=5, seed=2, study=study)
    assert told(few) == told(whole)
    assert few.upper_objective == whole.upper_objective
    assert any("15 points more than the budget of 5" in note for note in few.notes)
    more = bilevel.solve(model, search, budget=23, seed=2, study=study)
    assert told(more)[:20] == told(whole)
    assert not any("more than" in note for note in more.notes)


CRASHER = """
import os, signal, sys
import pyomo.environ as pyo
import bilevel

DEATHS = {"abort": os.abort, "kill": lambda: os.kill(os.getpid(), signal.SIGKILL), "exit": lambda: os._exit(3)}

def train(x):
    if x["x"] in map(int, sys.argv[2].split(",")):
        DEATHS[sys.argv[3]]()
    return {"y": (x["x"] - 2) ** 2}

model = pyo.ConcreteModel()
model.x = pyo.Var(within=pyo.Set(initialize=range(6)))
model.lower = bilevel.LowerLevel(response=train)
model.lower.y = pyo.Var()
model.obj = pyo.Objective(expr=model.lower.y)

if __name__ == "__main__":
    result = bilevel.solve(model, "grid", budget=6, study=sys.argv[1])
    print(result.verdict, sum(result.failures.values()), list(result.failures))
"""


@pytest.mark.parametrize("dies", [True, False])
def test_the_point_under_way_is_tried_by_another_process(dies, study, monkeypatch):
    model = listed(lambda x: {"y": float(x["x"])})
    whole = bilevel.solve(model, "random", budget=6, seed=0)
    bilevel.solve(model, "random", budget=2, seed=0, study=study)
    entered = study_at(study)
    entered.enter(2)
    entered.close()
    held = Response(model, warm=False)

    def submit(pool, work, tasks):
        future = Future()
        ((_, index, *_),) = tasks
        if dies and index == 2:
            future.set_exception(BrokenExecutor("the exit codes of the workers are {SIGABRT(-6)}"))
        else:
            future.set_result(work(held, Gradients.NONE, tasks))
        elsewhere.append(index)
        return future

    elsewhere = []
    monkeypatch.setattr(Processes, "__init__", lambda pool, *arguments: None)
    monkeypatch.setattr(Processes, "submit", submit)
    monkeypatch.setattr(Processes, "anew", lambda pool, count: Processes(None, None, count))
    monkeypatch.setattr(Processes, "close", lambda pool, wait=False: None)
    again = bilevel.solve(model, "random", budget=6, seed=0, study=study)
    assert elsewhere == ([2, 3, 4, 5] if dies else [2])
    assert again.failures == ({"the worker process died at this point: SIGABRT(-6)": 1} if dies else {})
    kept = [k for k in range(6) if k != 2 or not dies]
    assert [told(again)[k] for k in kept] == [told(whole)[k] for k in kept]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("death", ["abort", "kill", "exit"])
def test_a_crasher_is_a_failed_point_on_the_second_try(death, study, tmp_path):
    (tmp_path / "crasher.py").write_text(CRASHER)

    def run(points):
        command = [sys.executable, "crasher.py", study, points, death]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert run("1,4").returncode != 0
    again = run("1,4")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("best_found 2 ['the worker process died at this point: ")
    assert not again.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_accident_leaves_no_trace(study, tmp_path):
    """Killed once at a point, for the memory that others took, say; the second try answers as the first would have."""
    (tmp_path / "crasher.py").write_text(CRASHER)
    command = [sys.executable, "crasher.py", study]
    died = subprocess.run([*command, "3", "kill"], cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert died.returncode == -signal.SIGKILL
    again = subprocess.run([*command, "9", "kill"], cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert again.stdout.startswith(b"certified_global 0")


def test_what_ends_without_a_death_is_not_under_way(study):
    calls = itertools.count()

    def train(x):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return {"y": x["x"]}

    stopped = bilevel.solve(functional(train), "random", budget=8, seed=0, study=study)
    assert stopped.termination == "interrupted"
    stored = study_at(study)
    assert stored.under_way is None
    stored.close()
    assert bilevel.solve(functional(train), "random", budget=8, seed=0, study=study).evaluations == 8


def test_programs_are_not_written_down(study, monkeypatch):
    monkeypatch.setattr(outer_study.Study, "enter", lambda self, place: pytest.fail("a write for each point"))
    assert bilevel.solve(bilevel.load_model("toy"), "random", budget=5, study=study).evaluations == 5


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_worker_that_dies_leaves_no_page_on_the_screen(capfd):
    here = os.getpid()
    model = listed(lambda x: os.abort() if x["x"] == 2 and os.getpid() != here else {"y": float(x["x"])})
    result = bilevel.solve(model, "grid", budget=6, workers=2)
    assert "died at this point" in next(iter(result.failures))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("bounds", [(0, 20), (None, 20), (-5, 20)])
def test_an_answer_that_breaks_a_declared_bound_is_a_failed_point(bounds):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(within=pyo.RangeSet(0, 10))
    m.low = LowerLevel(response=lambda x: {"y": 3 * x["x"]})
    m.low.y = pyo.Var(bounds=bounds)
    m.obj = pyo.Objective(expr=-m.low.y)
    result = bilevel.solve(m, "grid", budget=11)
    assert result.upper["x"] == 6.0
    failed = [e for e in result.history if not e.feasible]
    assert len(failed) == 4
    assert "outside its bounds" in failed[0].message
