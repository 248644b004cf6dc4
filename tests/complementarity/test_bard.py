"""Bard's example by every treatment, as it stands and with every sign turned that changes nothing."""

from __future__ import annotations

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.contracts.treatment import Treatment
from bilevel.registry import catalogue, get

EXACT = [name for name in catalogue(Treatment) if get(Treatment, name).exact]
SEQUENCES = [name for name in catalogue(Treatment) if get(Treatment, name)().schedule()]


def bard(upper: int = 1, lower: int = 1, rows: int = 1) -> pyo.ConcreteModel:
    """Bard (1998), example 5.1.1: F = -12. A sign of -1 turns a sense around, or multiplies the lower rows."""
    senses = {1: pyo.minimize, -1: pyo.maximize}
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 10))
    x, y = model.x, model.lower.y
    model.lower.rows = pyo.ConstraintList()
    for body, bound in [(-x - y, -3), (y - 2 * x, 0), (2 * x + y, 12), (3 * x - 2 * y, 4)]:
        model.lower.rows.add(body <= bound if rows > 0 else -body >= -bound)
    model.lower.obj = pyo.Objective(expr=lower * y, sense=senses[lower])
    model.obj = pyo.Objective(expr=upper * (x - 4 * y), sense=senses[upper])
    return model


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_treatment_certifies_the_optimum(name):
    result = bilevel.solve(bard(), method="kkt", complementarity=name, time_limit=30)
    assert result.verdict == "certified_global", result
    assert result.upper_objective == pytest.approx(-12, abs=1e-5)
    assert result.bound == pytest.approx(-12, abs=2e-4)
    assert (result.upper["x"], result.lower["lower.y"]) == pytest.approx((4, 4), abs=1e-5)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("signs", [(-1, 1, -1), (1, -1, 1)])
def test_signs_that_change_nothing_change_nothing(name, signs):
    result = bilevel.solve(bard(*signs), method="kkt", complementarity=name, time_limit=30)
    assert result.verdict == "certified_global", result
    assert result.upper_objective == pytest.approx(-12 * signs[0], abs=1e-5)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_finds_a_local_optimum_and_claims_no_more(name):
    result = bilevel.solve(bard(), method="kkt", complementarity=name)
    assert result.verdict in ("verified_local", "best_found")
    assert result.bound is None
    assert result.upper_objective >= -12 - 1e-5


def test_linear_with_proved_bounds_goes_to_the_linear_engine():
    result = bilevel.solve(bard(), method="kkt", complementarity="big_m")
    assert any("big_m, highs" in note for note in result.notes), result.notes


@pytest.mark.parametrize("name", EXACT)
def test_infeasible_is_proved_by_every_exact_treatment(name):
    model = bard()
    model.never = pyo.Constraint(expr=model.x + model.lower.y >= 9)
    result = bilevel.solve(model, method="kkt", complementarity=name, time_limit=30)
    assert result.verdict == "infeasible", result


@pytest.mark.parametrize("name", [n for n in EXACT if n != "big_m_cut"])
def test_a_quadratic_follower_of_a_quadratic_leader(name):
    """y = max(x - 1, 0) clipped to 2: F = (x - 2)^2 + (y - 2)^2 is least at x = 2.5, y = 1.5."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 2))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x + 1) ** 2)
    model.obj = pyo.Objective(expr=(model.x - 2) ** 2 + (model.lower.y - 2) ** 2)
    result = bilevel.solve(model, method="kkt", complementarity=name, time_limit=30)
    assert result.upper_objective == pytest.approx(0.5, abs=1e-5), result
    assert result.verdict == "certified_global"
