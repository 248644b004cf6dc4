"""Stored outcomes that count no more: left out, or done again at their places in the history."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import optuna
import pyomo.environ as pyo
import pytest
from histories import told

import bilevel
from bilevel.command_line.studies import main
from bilevel.errors import StudyError
from bilevel.study import redo, skip

PLACES = ["study.log", "sqlite:///{}/study.db"]


def flawed(broken=(), wrong=None):
    """``(x - 2)^2 + z``, but some calls raise, and one may say what is too good to be true."""
    calls = []

    def response(x):
        calls.append(dict(x))
        if len(calls) - 1 in broken:
            raise MemoryError("no memory")
        value = (x["x"] - 2) ** 2 + x["z"]
        return {"y": -99.0 if len(calls) - 1 == wrong else value}

    model = pyo.ConcreteModel()
    model.x, model.z = pyo.Var(bounds=(0, 5)), pyo.Var(within=pyo.Integers, bounds=(0, 3))
    model.lower = bilevel.LowerLevel(response=response)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return model, calls


@pytest.fixture(params=PLACES)
def study(request, tmp_path):
    return request.param.format(tmp_path) if "://" in request.param else str(tmp_path / request.param)


@pytest.mark.parametrize("search", ["random", "surrogate"])
def test_what_failed_is_done_again_at_its_place(search, study):
    model, _ = flawed(broken=(3, 7))
    first = bilevel.solve(model, search, budget=12, seed=1, study=study)
    assert len(first.failures) == 1
    assert redo(study, failed=True) == [3, 7]
    assert redo(study, failed=True) == []
    model, calls = flawed()
    again = bilevel.solve(model, search, budget=16, seed=1, study=study)
    assert [e.point for e in again.history[:12]] == [e.point for e in first.history]
    assert all(e.answered for e in again.history)
    here = [{"x": e.upper["x"], "z": e.upper["z"]} for e in again.history]
    assert calls[:6] == [here[3], here[7], *here[12:]]
    model, calls = flawed()
    assert told(bilevel.solve(model, search, budget=16, seed=1, study=study)) == told(again)
    assert len(calls) <= 2  # the verification
    longer = bilevel.solve(flawed()[0], search, budget=20, seed=1, study=study)
    assert told(longer)[:16] == told(again)
    assert len({e.point for e in longer.history}) == 20


def test_a_search_that_does_not_learn_asks_the_same_points_whatever_was_set_aside(study, tmp_path):
    whole = bilevel.solve(flawed()[0], "random", budget=20, seed=1, study=str(tmp_path / "whole.log"))
    bilevel.solve(flawed(broken=(2,))[0], "random", budget=12, seed=1, study=study)
    redo(study, [2, 5])
    again = bilevel.solve(flawed()[0], "random", budget=20, seed=1, study=study)
    assert [(e.point, e.cost) for e in again.history] == [(e.point, e.cost) for e in whole.history]


@pytest.mark.parametrize("search", ["random", "surrogate"])
def test_one_that_is_left_out_is_a_failed_point_and_never_the_answer(search, study, capsys):
    first = bilevel.solve(flawed(wrong=4)[0], search, budget=10, seed=1, study=study)
    assert min(e.cost for e in first.history) == -99
    assert skip(study, [4]) == [4]
    assert main(["show", study]) == 0
    shown = capsys.readouterr().out
    assert "1 fail" in shown
    assert "left out" in shown
    assert "-99" not in shown
    again = bilevel.solve(flawed()[0], search, budget=14, seed=1, study=study)
    assert again.evaluations == 14
    assert again.upper_objective == min(e.cost for e in again.history if e.answered) >= 0
    assert "left out" in again.history[4].message


def test_with_workers_as_without(study):
    bilevel.solve(flawed(broken=(2,))[0], "rbf", budget=9, seed=1, study=study)
    redo(study, [2, 6])
    with ThreadPoolExecutor(2) as threads:
        asked = {"budget": 15, "seed": 1, "study": study, "executor": threads, "workers": 2}
        again = bilevel.solve(flawed()[0], "rbf", **asked)
        assert told(bilevel.solve(flawed()[0], "rbf", **asked)) == told(again)
    assert len({e.point for e in again.history}) == 15
    assert all(e.answered for e in again.history)


def test_what_optuna_began_is_left_out_or_done_again(study):
    kept = bilevel.registry.study_at(study)
    began = optuna.create_study(study_name="bilevel", storage=kept.optuna())
    for x, value in ((1.0, 7.0), (2.0, -50.0), (3.0, 9.0)):
        space = {"x": optuna.distributions.FloatDistribution(0, 5), "z": optuna.distributions.IntDistribution(0, 3)}
        began.add_trial(optuna.trial.create_trial(params={"x": x, "z": 0}, distributions=space, value=value))
    kept.close()
    skip(study, [1])
    first = bilevel.solve(flawed()[0], "rbf", budget=6, seed=1, study=study)
    assert [e.cost for e in first.history[:2]] == [7.0, 9.0]
    redo(study, [0])
    skip(study, [2])
    again = bilevel.solve(flawed()[0], "rbf", budget=8, seed=1, study=study)
    assert again.history[0].upper["x"] == 1
    assert again.history[0].cost == 1
    assert not again.history[1].answered
    assert told(bilevel.solve(flawed()[0], "rbf", budget=8, seed=1, study=study)) == told(again)


def test_a_copy_holds_them_as_failed_and_goes_on_the_same(study, tmp_path, capsys):
    bilevel.solve(flawed(wrong=4)[0], "random", budget=8, seed=1, study=study)
    assert main(["skip", study, "4"]) == main(["redo", study, "2"]) == 0
    copy = f"{tmp_path}/copy.log"
    assert main(["export", study, copy]) == 0
    assert main(["export", study, f"{tmp_path}/trials.csv"]) == 0
    assert "left out" in (tmp_path / "trials.csv").read_text()
    assert "-99" not in (tmp_path / "trials.csv").read_text().partition("notes")[0]
    kept = bilevel.registry.study_at(copy)
    assert min(t.value for t in kept.optuna().get_all_trials(0) if t.state.name == "COMPLETE") >= 0
    kept.close()
    there = bilevel.solve(flawed()[0], "random", budget=10, seed=1, study=copy)
    assert told(there) == told(bilevel.solve(flawed()[0], "random", budget=10, seed=1, study=study))
    capsys.readouterr()


def test_wrong_numbers_and_shared_studies_are_refused(study, capsys):
    bilevel.solve(flawed()[0], "random", budget=4, seed=1, study=study)
    with pytest.raises(StudyError, match="no trial 9; it has 0 to 3"):
        skip(study, [9])
    redo(study, [1])
    bilevel.solve(flawed()[0], "random", budget=4, seed=1, study=study)
    assert redo(study, [1]) == []
    with pytest.raises(StudyError, match="done again already"):
        skip(study, [1])
    assert skip(study, [4]) == [4]
    assert main(["redo", study]) == 2
    assert "--failed" in capsys.readouterr().err
    bilevel.solve(flawed()[0], "random", budget=2, seed=1, study=f"{study}#shared", shared=True)
    with pytest.raises(StudyError, match="several drivers"):
        redo(f"{study}#shared", [0])
