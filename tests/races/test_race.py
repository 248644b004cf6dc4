"""A race among followers spares solves and changes no answer."""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo
import pytest
from histories import StopAt, told

import bilevel
from bilevel import LowerLevel, discretize, least_squares, maximum
from bilevel.errors import OptionError, RefusedError

FOLDS = 6


def folds(form="squares", levels=40, sense=pyo.minimize, attitude=None):
    """Ridge with box constraints, so that each fold is solved by an engine; F in some form."""
    rng = np.random.default_rng(3)
    X, w = rng.normal(size=(60, 4)), np.array([1.0, -0.5, 0.0, 0.3])
    y = X @ w + 0.5 * rng.normal(size=60)
    fold_of = np.arange(60) % FOLDS
    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(1e-3, 1e3))
    discretize(model.penalty, levels=levels, scale="log")
    model.fit = LowerLevel(range(FOLDS))
    parts = []
    for k in range(FOLDS):
        fit, test = fold_of != k, fold_of == k
        model.fit[k].w = pyo.Var(range(4), bounds=(-2, 2))
        v = model.fit[k].w
        shrink = model.penalty * sum(v[j] ** 2 for j in range(4))
        model.fit[k].obj = pyo.Objective(expr=least_squares(X[fit], y[fit], v) / fit.sum() + shrink)
        residuals = [y[i] - sum(X[i, j] * v[j] for j in range(4)) for i in np.flatnonzero(test)]
        whole = {
            "squares": lambda v=v, test=test: least_squares(X[test], y[test], v),
            "absolute": lambda r=residuals: sum(abs(e) for e in r),
            "largest": lambda r=residuals: maximum([e**2 for e in r]),
        }
        parts.append(whole.get(form, whole["squares"])() / test.sum())
    mean = sum(parts) / FOLDS + 0.01 * pyo.log(model.penalty) ** 2
    if form == "worst":
        mean = maximum(parts)
    model.obj = pyo.Objective(expr=mean if sense == pyo.minimize else -mean, sense=sense)
    return model


@pytest.mark.parametrize("method", ["grid", "random"])
@pytest.mark.parametrize("form", ["squares", "absolute", "largest"])
def test_the_answer_is_that_of_a_run_without(form, method):
    whole = bilevel.solve(folds(form), method, budget=40, seed=1)
    raced = bilevel.solve(folds(form), method, budget=40, seed=1, pruner="race")
    assert raced.verdict == whole.verdict == "certified_global"  # a stop is a proof, and so is the enumeration
    assert raced.upper_objective == whole.upper_objective
    assert raced.upper == whole.upper
    assert raced.saved["unit"] == "solves of followers"
    assert raced.saved["spared"] > 0.2 * raced.saved["whole"]
    full = {e.point: e.cost for e in whole.history}
    for e in raced.history:
        assert e.pruned or e.cost == full[e.point]
        assert not e.pruned or raced.upper_objective < e.bound <= full[e.point] + 1e-9
    assert "solves of followers" in str(raced)


def test_a_leader_who_maximises_races_too():
    whole = bilevel.solve(folds(sense=pyo.maximize), "grid", budget=40)
    raced = bilevel.solve(folds(sense=pyo.maximize), "grid", budget=40, pruner="race")
    assert raced.upper_objective == whole.upper_objective
    pruned = [e for e in raced.history if e.pruned]
    assert pruned
    assert all(e.bound < raced.upper_objective for e in pruned)
    assert all(e.reports[-1][1] == e.bound for e in pruned)


def test_a_search_that_learns_is_told_what_to_expect():
    raced = bilevel.solve(folds(), "surrogate", budget=20, seed=1, pruner="race")
    pruned = [e for e in raced.history if e.pruned]
    assert pruned
    assert all(math.isfinite(e.estimate) and e.estimate >= e.bound for e in pruned)
    best = min(e.upper_objective for e in raced.history if e.feasible)
    assert raced.upper_objective == pytest.approx(best, rel=1e-12)  # the verification computes it anew


def test_a_stopped_study_races_on_in_the_same_order(tmp_path):
    whole = bilevel.solve(folds(), "random", budget=30, seed=2, pruner="race")
    bilevel.solve(folds(), "random", budget=30, seed=2, pruner="race", study=f"{tmp_path}/s.db", observer=StopAt(11))
    again = bilevel.solve(folds(), "random", budget=30, seed=2, pruner="race", study=f"{tmp_path}/s.db")
    assert told(again) == told(whole)


def test_where_all_is_one_formula_nothing_is_raced():
    model = bilevel.load_model("ridge_folds")
    result = bilevel.solve(model, "grid", budget=9, pruner="race")
    assert not any(e.pruned for e in result.history)
    assert any("faster than racing" in note for note in result.notes)


def test_an_f_without_parts_or_floors_is_refused_with_the_cure():
    with pytest.raises(RefusedError, match="speaks of several"):
        bilevel.solve(folds("worst"), "grid", budget=3, pruner="race")
    model = folds()
    model.obj.set_value(sum(model.fit[k].w[0] * model.fit[k].w[1] for k in range(FOLDS)) + 0 * model.penalty)
    found = bilevel.solve(model, "grid", budget=3, pruner="race")  # a product of bounded variables has a floor
    assert found.verdict.holds_a_point
    model.fit[2].w[0].setlb(None)
    with pytest.raises(RefusedError, match="nothing says how low"):
        bilevel.solve(model, "grid", budget=3, pruner="race")
    with pytest.raises(RefusedError, match="speaks of 1 follower"):
        bilevel.solve(_of_one_fold(), "grid", budget=3, pruner="race")
    reals = folds()
    reals.penalty.domain = pyo.Reals
    with pytest.raises(OptionError, match="gradient needs F"):
        bilevel.solve(reals, "gradient", budget=3, pruner="race")


def _of_one_fold():
    model = folds()
    model.obj.set_value(sum(model.fit[0].w[j] ** 2 for j in range(4)) + 0 * model.penalty)
    return model


def test_a_follower_with_several_answers_counts_as_its_floor():
    """y is anything in [0, 1] to the second follower; the leader would have 0, the engine may say 1."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(within=pyo.Integers, bounds=(0, 5))
    model.a = LowerLevel()
    model.a.y = pyo.Var(bounds=(-10, 10))
    model.a.obj = pyo.Objective(expr=(model.a.y - model.x) ** 2)
    model.b = LowerLevel()
    model.b.y = pyo.Var(bounds=(0, 1))
    model.b.obj = pyo.Objective(expr=0 * model.b.y)
    model.obj = pyo.Objective(expr=(model.a.y - 3) ** 2 + 100 * model.b.y**2)
    whole = bilevel.solve(model, "grid", budget=6)
    raced = bilevel.solve(model, "grid", budget=6, pruner="race")
    assert raced.upper == whole.upper == {"x": 3}
    assert raced.verdict == whole.verdict


def test_functions_race_by_their_declared_bounds():
    calls = []

    def fold(x, k):
        calls.append(k)
        return {"loss": (x["a"] - 0.1 * k) ** 2}

    def build(block, k):
        block.loss = pyo.Var(within=pyo.NonNegativeReals)

    model = pyo.ConcreteModel()
    model.a = pyo.Var(bounds=(0, 1))
    model.fold = LowerLevel(range(5), response=fold, rule=build)
    model.obj = pyo.Objective(expr=sum(model.fold[k].loss for k in range(5)))
    raced = bilevel.solve(model, "random", budget=30, seed=1, pruner="race")
    spared = raced.saved["spared"]
    assert spared > 20
    whole = bilevel.solve(model, "random", budget=30, seed=1)
    assert raced.upper_objective == whole.upper_objective
