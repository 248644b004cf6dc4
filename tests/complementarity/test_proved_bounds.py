"""No big-M without a proof: refusals that name the pair, and bounds checked against multipliers computed apart."""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy.optimize import linprog

import bilevel
from bilevel import LowerLevel
from bilevel.errors import RefusedError
from bilevel.kkt.conditions import apply_conditions
from bilevel.solvers.complementarity.proofs.proved_bounds import bounds_of_pairs

NEED_PROOFS = ["big_m", "big_m_cut", "disjunction", "hull"]


def conditions(model: pyo.ConcreteModel) -> pyo.ConcreteModel:
    apply_conditions(model)
    return model


def price(largest: float | None) -> pyo.ConcreteModel:
    """The follower's slope is the leader's price: its multiplier is as large as that."""
    model = pyo.ConcreteModel()
    model.p = pyo.Var(bounds=(0, largest))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 1))
    model.lower.obj = pyo.Objective(expr=(1 - model.p) * model.lower.y)
    model.obj = pyo.Objective(expr=-model.lower.y)
    return model


def open_ended() -> pyo.ConcreteModel:
    """Nothing bounds how far y may be from its cap."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var()
    model.lower.cap = pyo.Constraint(expr=model.lower.y >= model.x)
    model.lower.obj = pyo.Objective(expr=model.lower.y)
    model.obj = pyo.Objective(expr=model.lower.y)
    return model


@pytest.mark.parametrize("name", NEED_PROOFS)
def test_an_unbounded_multiplier_is_refused_by_name(name):
    with pytest.raises(RefusedError, match=r"lower\.y upper .*multiplier: no bound is proved.*sos1"):
        bilevel.solve(price(None), method="kkt", complementarity=name)


@pytest.mark.parametrize("name", NEED_PROOFS)
def test_an_unbounded_slack_is_refused_by_name(name):
    with pytest.raises(RefusedError, match=r"lower\.cap upper .*slack: no bound over the high-point relaxation"):
        bilevel.solve(open_ended(), method="kkt", complementarity=name)


def test_a_bound_too_large_for_a_binary_is_refused():
    with pytest.raises(RefusedError, match="no usable big-M"):
        bilevel.solve(price(1e9), method="kkt", complementarity="big_m")


def test_bounds_grow_with_what_they_bound():
    for largest in (2.0, 50.0, 3000.0):
        proved = bounds_of_pairs(conditions(price(largest)))
        assert proved["lower.y", "upper"].multiplier.value >= largest - 1
        assert proved["lower.y", "upper"].multiplier.value == pytest.approx(largest - 1, rel=0.01)
        assert proved["lower.y", "lower"].multiplier.value >= 1
        assert proved["lower.y", "upper"].slack.value >= 1


def test_every_bound_names_its_proof():
    for proved in bounds_of_pairs(conditions(price(5.0))).values():
        for bound in (proved.slack, proved.multiplier):
            assert math.isfinite(bound.value)
            assert bound.provenance in str(bound)
            assert bound.provenance.split()[0] in ("declared", "interval", "linear", "Slater", "basic")


def test_slater_bounds_hold_for_followers_with_too_many_bases():
    """A box and a budget in 30 dimensions: a closed form for the multipliers of ``max c'y, y <= 1, sum y <= x``."""
    n = 30
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(1, n))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(range(n), bounds=(0, 1))
    model.lower.budget = pyo.Constraint(expr=sum(model.lower.y[i] for i in range(n)) <= model.x)
    model.lower.obj = pyo.Objective(expr=sum((1 + i % 5) * model.lower.y[i] for i in range(n)), sense=pyo.maximize)
    model.obj = pyo.Objective(expr=model.x)
    proved = bounds_of_pairs(conditions(model))
    assert proved["lower.budget", "upper"].multiplier.provenance == "Slater point"
    assert proved["lower.budget", "upper"].multiplier.value >= 5  # the largest price: reached at x = 1
    assert all(bound.multiplier.value < math.inf for bound in proved.values())


def random_lp(seed: int) -> tuple[pyo.ConcreteModel, dict[str, np.ndarray]]:
    """``min c'y, A y <= b + B x`` with y in a box, so that every multiplier is bounded at a vertex."""
    rng = np.random.default_rng(seed)
    n, m = 3, 3
    data = {"c": rng.integers(-5, 6, n), "A": rng.integers(-3, 4, (m, n)), "b": rng.integers(2, 8, m)}
    data["B"] = rng.integers(-2, 3, m)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(range(n), bounds=(0, 4))
    y = model.lower.y
    model.lower.rows = pyo.Constraint(
        range(m),
        rule=lambda _, i: (
            sum(int(data["A"][i, j]) * y[j] for j in range(n)) + 0 * y[0]
            <= int(data["b"][i]) + int(data["B"][i]) * model.x
        ),
    )
    model.lower.obj = pyo.Objective(expr=sum(int(data["c"][j]) * y[j] for j in range(n)))
    model.obj = pyo.Objective(expr=model.x - sum(y[j] for j in range(n)))
    return model, data


@pytest.mark.parametrize("seed", range(8))
def test_some_multipliers_of_every_answer_are_within_the_bounds(seed):
    """Solved apart, by scipy: with the bounds added, the dual of the follower still reaches its optimum at every x."""
    model, data = random_lp(seed)
    proved = bounds_of_pairs(conditions(model))
    a, b = np.vstack([data["A"], np.eye(3), -np.eye(3)]), np.concatenate([data["b"], np.full(3, 4), np.zeros(3)])
    sides = {(f"lower.rows[{i}]", "upper"): i for i in range(3)}
    sides |= {(f"lower.y[{j}]", "upper"): 3 + j for j in range(3)}
    sides |= {(f"lower.y[{j}]", "lower"): 6 + j for j in range(3)}
    most = np.full(9, math.inf)
    for key, bound in proved.items():
        most[sides[key]] = bound.multiplier.value
    for x in np.linspace(0, 1, 5):
        right = b + np.concatenate([data["B"] * x, np.zeros(6)])
        primal = linprog(data["c"], A_ub=a, b_ub=right, bounds=[(None, None)] * 3)
        assert primal.status == 0
        dual = linprog(right, A_eq=-a.T, b_eq=data["c"], bounds=[(0, m) for m in most])
        assert dual.status == 0, "the bounds cut all multipliers off"
        assert -dual.fun == pytest.approx(primal.fun, abs=1e-6)
        slacks = right - a @ primal.x
        assert all(slacks[sides[key]] <= bound.slack.value + 1e-9 for key, bound in proved.items())


@pytest.mark.parametrize("seed", range(6))
def test_big_m_agrees_with_special_ordered_sets(seed):
    model, _ = random_lp(seed)
    values = {
        name: bilevel.solve(model, method="kkt", complementarity=name, time_limit=30)
        for name in ("sos1", "big_m", "strong_duality")
    }
    assert {result.verdict for result in values.values()} == {"certified_global"}
    objectives = [result.upper_objective for result in values.values()]
    assert objectives == pytest.approx([objectives[0]] * 3, abs=1e-4)


def test_strong_duality_refuses_rows_that_bend_in_y():
    model = price(3.0)
    model.lower.disc = pyo.Constraint(expr=model.lower.y**2 <= 4)
    for name in ("strong_duality", "sos1_cut"):
        with pytest.raises(RefusedError, match=r"lower\.disc is not affine"):
            bilevel.solve(model, method="kkt", complementarity=name)
