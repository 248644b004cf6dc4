"""A search whose best point does not stand when it is looked at again has others to offer."""

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel


def fickle(bad):
    """A follower that answers once at the values named, and never again."""
    asked = []

    def train(upper):
        asked.append(upper["x"])
        if asked.count(upper["x"]) > 1 and upper["x"] in bad:
            raise ValueError("not again")
        return {"y": float(upper["x"])}

    model = pyo.ConcreteModel()
    model.x = pyo.Var(within=pyo.Set(initialize=[1, 2, 3, 4]))
    model.lower = LowerLevel(response=train)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return model


def test_the_next_best_point_is_taken():
    result = bilevel.solve(fickle({1, 2}), "random", budget=3, seed=0)
    tried = sorted(e.upper["x"] for e in result.history)
    assert result.verdict == "best_found"
    assert result.upper["x"] == min(x for x in tried if x > 2)
    assert any("did not stand a second look" in note for note in result.notes)


def test_where_none_stands_it_failed():
    result = bilevel.solve(fickle({1, 2, 3, 4}), "random", budget=3, seed=0)
    assert result.verdict == "failed"
    assert any("not again" in note for note in result.notes)


def test_a_good_point_needs_no_other():
    result = bilevel.solve(fickle(set()), "random", budget=3, seed=0)
    assert result.upper_objective == pytest.approx(min(e.upper["x"] for e in result.history))
    assert not any("second look" in note for note in result.notes)
