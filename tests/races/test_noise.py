"""Noisy functions: asked several times, the best asked again with new seeds, and what is evaluated once."""

from __future__ import annotations

import json
import math
from itertools import count

import numpy as np
import pyomo.environ as pyo
import pytest
from histories import StopAt, told
from training import trained

import bilevel
from bilevel import LowerLevel
from bilevel.errors import ModelError, OptionError, RefusedError
from bilevel.language.trials.trial import fresh_seeds, seeds_of


def noisy(x, trial):
    """(a - 0.3)^2 + (b - 0.6)^2 with a deviation of 0.1."""
    error = np.random.default_rng(trial.seed).normal(scale=0.1)
    return {"loss": (x["a"] - 0.3) ** 2 + (x["b"] - 0.6) ** 2 + error}


def test_without_repeats_the_seed_is_the_runs_and_the_function_repeats_itself():
    seeds = []

    def once(x, trial):
        seeds.append(trial.seed)
        return noisy(x, trial)

    result = bilevel.solve(trained(once), "random", budget=10, seed=7)
    assert set(seeds) == {7}  # the verification's too
    assert result.noise is None
    assert result.verdict == "best_found"


def test_repeats_give_mean_error_and_an_answer_with_new_seeds():
    result = bilevel.solve(trained(noisy), "random", budget=30, seed=1, repeats=4)
    assert result.verdict == "best_found"
    assert result.noise is None
    for e in result.history:
        losses = [noisy(e.upper, _Seeded(seed))["loss"] for seed in seeds_of(1, e.index, 4)]
        assert e.repeats == 4
        assert math.isclose(e.upper_objective, np.mean(losses), rel_tol=1e-12)
        assert math.isclose(e.standard_error, np.std(losses, ddof=1) / 2, rel_tol=1e-9)
    assert len(result.again) == 5
    best = sorted(e.upper_objective for e in result.history)[:5]
    assert [row["searched"] for row in result.again] == best
    assert result.upper_objective == min(row["again"] for row in result.again)
    assert result.lower["net.loss"] == result.upper_objective
    assert result.standard_error > 0
    assert "standard error" in str(result)
    assert any("asked again with new seeds" in note for note in result.notes)
    plain = json.loads(result.to_json())
    assert plain["again"][0]["again_error"] > 0
    assert plain["history"][3]["standard_error"] > 0


class _Seeded:
    def __init__(self, seed):
        self.seed = seed


def test_a_function_that_knows_no_seed_is_repeated_as_well():
    ticks = count()

    def restless(x):
        return {"loss": (x["a"] - 0.3) ** 2 + 0.01 * (next(ticks) % 3)}

    result = bilevel.solve(trained(restless), "random", budget=6, seed=1, repeats=3, top=2)
    assert next(ticks) == 3 * 6 + 3 * 2  # and not once more: the last look is the verification's
    assert all(math.isclose(e.upper_objective, (e.upper["a"] - 0.3) ** 2 + 0.01) for e in result.history)
    assert len(result.again) == 2


def test_a_space_that_is_used_up_proves_nothing_of_noise():
    model = trained(noisy)
    for var in (model.a, model.b):
        bilevel.discretize(var, levels=3)
    result = bilevel.solve(model, "grid", budget=9, repeats=2)
    assert result.verdict == "best_found"
    assert result.bound is None


def test_top_alone_asks_again_once():
    result = bilevel.solve(trained(noisy), "random", budget=12, seed=2, top=3)
    assert len(result.again) == 3
    assert result.standard_error is None
    assert result.upper_objective == min(row["again"] for row in result.again)


def test_the_search_is_told_of_the_error():
    rough = bilevel.solve(trained(noisy), "gp", budget=16, seed=1, repeats=2)
    again = bilevel.solve(trained(noisy), "gp", budget=16, seed=1, repeats=2)
    assert told(rough) == told(again)


def test_a_noisy_study_goes_on_with_the_same_seeds(tmp_path):
    whole = bilevel.solve(trained(noisy), "random", budget=12, seed=3, repeats=2)
    bilevel.solve(trained(noisy), "random", budget=12, seed=3, repeats=2, study=f"{tmp_path}/s", observer=StopAt(5))
    rest = bilevel.solve(trained(noisy), "random", budget=12, seed=3, repeats=2, study=f"{tmp_path}/s")
    assert told(rest) == told(whole)
    assert rest.again == whole.again
    with pytest.raises(bilevel.BilevelError, match="repeats 2 there"):
        bilevel.solve(trained(noisy), "random", budget=12, seed=3, study=f"{tmp_path}/s")


@pytest.mark.slow
def test_workers_repeat_with_the_same_seeds():
    alone = bilevel.solve(trained(noisy), "random", budget=12, seed=3, repeats=2)
    shared = bilevel.solve(trained(noisy), "random", budget=12, seed=3, repeats=2, workers=2)
    assert told(shared) == told(alone)
    assert shared.again == alone.again


def test_no_two_points_have_the_same_seeds():
    drawn = [seed for place in range(50) for seed in fresh_seeds(1, place, 4)]
    assert len(set(drawn)) == 200
    assert all(0 <= seed < 2**31 for seed in drawn)


@pytest.mark.parametrize(("wrong", "match"), [({"repeats": 0}, "at least once"), ({"top": 0}, "at least one point")])
def test_counts_are_counts(wrong, match):
    with pytest.raises(OptionError, match=match):
        bilevel.solve(trained(noisy), "random", budget=2, **wrong)


def test_a_test_loss_is_evaluated_for_the_answer_alone():
    asked = []

    def test_loss(x):
        asked.append(x["a"])
        return {"loss": 1 + x["a"]}

    model = trained()
    model.test = LowerLevel(response=test_loss)
    model.test.loss = pyo.Var()
    bilevel.report_once("test loss", model.test.loss + 0 * model.net.loss)
    result = bilevel.solve(model.clone(), "random", budget=8, seed=1)
    assert asked == [result.upper["a"]]
    assert result.reported == {"test loss": 1 + result.upper["a"]}
    assert "test loss" in str(result)
    assert json.loads(result.to_json())["reported"] == result.reported
    assert all(set(e.lower) == {"net.loss"} for e in result.history)


def test_a_refit_is_a_program_that_answers_once():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4))
    model.fit = LowerLevel()
    model.fit.w = pyo.Var()
    model.fit.obj = pyo.Objective(expr=(model.fit.w - model.x) ** 2)
    model.refit = LowerLevel()
    model.refit.w = pyo.Var()
    model.refit.obj = pyo.Objective(expr=(model.refit.w - 2 * model.x) ** 2)
    model.obj = pyo.Objective(expr=(model.fit.w - 1) ** 2)
    model.test = pyo.Objective(expr=model.refit.w + model.x)
    bilevel.report_once(model.test)
    result = bilevel.solve(model, "kkt")
    assert math.isclose(result.reported["test"], 3.0, rel_tol=1e-5)
    assert result.verdict == "certified_global"
    single = pyo.TransformationFactory("bilevel.kkt").create_using(model)
    assert not list(single.component_data_objects(LowerLevel, active=True, descend_into=True))
    assert model.refit.active


def test_what_belongs_to_no_model_is_no_report():
    with pytest.raises(ModelError, match="mentions no variable"):
        bilevel.report_once("two", 2 * pyo.Param(initialize=1, mutable=True))
    with pytest.raises(ModelError, match="a name and an expression"):
        bilevel.report_once("two")


def simulated(levels=None):
    """A simulator that is off by 1/n with n cells, at most 27."""
    calls = []

    def simulate(x):
        calls.append(x["n"])
        return {"loss": (x["a"] - 0.3) ** 2 + 1 / x["n"]}

    model = pyo.ConcreteModel()
    model.a = pyo.Var(bounds=(0, 1))
    model.n = pyo.Var(within=pyo.Integers if levels is None else pyo.Set(initialize=levels), bounds=(1, 27))
    bilevel.fidelity(model.n)
    model.net = LowerLevel(response=simulate)
    model.net.loss = pyo.Var()
    model.obj = pyo.Objective(expr=model.net.loss)
    return model, calls


@pytest.mark.parametrize("method", ["random", "grid", "surrogate", "optuna:tpe"])
def test_a_fidelity_is_never_searched_and_full_in_the_answer(method):
    model, calls = simulated()
    result = bilevel.solve(model, method, budget=12, seed=1)
    assert set(calls) == {27}
    assert result.upper["n"] == 27


@pytest.mark.parametrize("pruner", ["halving", "hyperband", "median"])
def test_points_are_looked_at_from_below(pruner):
    model, calls = simulated()
    result = bilevel.solve(model, "random", budget=25, seed=1, pruner=pruner)
    assert result.upper["n"] == 27
    answered = [e for e in result.history if e.feasible]
    assert all(e.upper["n"] == 27 for e in answered)
    assert all([step for step, _ in e.reports] == [1, 3, 9, 27] for e in answered)
    pruned = [e for e in result.history if e.pruned]
    assert pruned
    assert all(e.upper["n"] == e.reports[-1][0] < 27 for e in pruned)
    assert result.upper_objective == min(e.upper_objective for e in answered)
    done = sum(calls) - 27 * 2  # the verification's two
    assert result.saved["whole"] - result.saved["spared"] == done
    assert result.saved["unit"] == "fidelity"


def test_a_list_is_its_own_rungs():
    model, calls = simulated([5, 27, 10])
    bilevel.solve(model, "random", budget=6, seed=1, pruner="halving")
    assert set(calls) == {5, 10, 27}


def test_a_fidelity_is_declared_with_what_it_needs():
    model, _ = simulated()
    with pytest.raises(RefusedError, match="n is a fidelity"):
        bilevel.solve(model, "kkt")
    model.wide = pyo.Var()
    with pytest.raises(bilevel.BilevelError, match="two bounds above zero"):
        bilevel.fidelity(model.wide)
    model.del_component(model.wide)
    model.more = pyo.Var(bounds=(1, 2))
    bilevel.fidelity(model.more)
    with pytest.raises(bilevel.BilevelError, match="are all declared a fidelity"):
        bilevel.solve(model, "random", budget=2)
