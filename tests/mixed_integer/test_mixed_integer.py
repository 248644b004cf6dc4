from __future__ import annotations

import sys
import time
from pathlib import Path

import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bilevel
from bilevel import LowerLevel
from bilevel.errors import RefusedError

sys.path.insert(0, str(Path(__file__).parent))
from brute_force import Instance, interdiction


def solve(model, **kwargs):
    return bilevel.solve(model, "mixed_integer", time_limit=kwargs.pop("time_limit", 20), **kwargs)


def agrees(result, best):
    if best is None:
        assert result.verdict == "infeasible"
    else:
        assert result.verdict == "certified_global"
        assert result.upper_objective == pytest.approx(best, abs=1e-5)
        assert result.bound == pytest.approx(best, abs=1e-4)


@given(st.integers(0, 10_000))
def test_integers_below_against_listing(seed):
    instance = Instance(seed)
    agrees(solve(instance.model()), instance.best())


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 2))
def test_integers_and_reals_below_against_listing(seed, continuous):
    instance = Instance(seed, integers=1, continuous=continuous, top=2)
    agrees(solve(instance.model()), instance.best())


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_binaries_against_listing(seed):
    instance = Instance(seed, x=4, integers=4, top=1)
    agrees(solve(instance.model()), instance.best())


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_no_sampled_point_beats_the_bound_of_a_continuous_leader(seed):
    instance = Instance(seed, x=1, integers=1, continuous=1, top=2)
    model = instance.model()
    model.x[0].domain = pyo.Reals
    result = solve(model)
    sampled = [v for k in range(11) if (v := instance.at([k / 5])) is not None]
    if result.verdict == "infeasible":
        assert not sampled
    elif sampled:
        assert instance.sense[0] * result.bound <= min(sampled) + 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_knapsack_interdiction(seed):
    model, best = interdiction(8, seed)
    result = solve(model)
    agrees(result, best())
    assert result.evaluations < 30


def moore_bard():
    """Moore and Bard (1990), the model of the gallery: F = -22 at (2, 2)."""
    return bilevel.load_model("moore_bard")


def test_moore_and_bard():
    result = solve(moore_bard())
    agrees(result, -22)
    assert result.upper == {"x": 2}
    assert result.lower == {"lower.y": 2}


def test_flipping_both_senses_and_rows_changes_nothing():
    model = moore_bard()
    model.obj.set_value(-model.obj.expr)
    model.obj.sense = pyo.maximize
    model.lower.obj.set_value(-model.lower.obj.expr)
    model.lower.obj.sense = pyo.maximize
    for row in model.lower.component_objects(pyo.Constraint):
        body, low, high = row.body, row.lower, row.upper
        row.set_value((None if high is None else -high, -body, None if low is None else -low))
    agrees(solve(model), 22)


def test_auto_takes_it_for_integers_below():
    assert bilevel.solve(moore_bard()).method == "mixed_integer"


def two_followers():
    """Each follower takes what it can of its own; the leader pays for one and is paid for the other."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(within=pyo.Integers, bounds=(0, 6))
    m.lower = LowerLevel([0, 1])
    for k in (0, 1):
        b = m.lower[k]
        b.z = pyo.Var(within=pyo.Integers, bounds=(0, 4))
        b.u = pyo.Var(bounds=(0, 1))
        b.limit = pyo.Constraint(expr=2 * b.z + b.u <= (m.x if k == 0 else 7 - m.x))
        b.obj = pyo.Objective(expr=b.z + 0.25 * b.u, sense=pyo.maximize)
    m.obj = pyo.Objective(expr=3 * m.lower[0].z - 2 * m.lower[1].z - m.lower[0].u)
    return m


def test_several_followers():
    m = two_followers()
    result = solve(m)
    value = lambda x: 3 * (x // 2) - 2 * ((7 - x) // 2) - (x % 2)  # noqa: E731
    agrees(result, min(value(x) for x in range(7)))


def threshold(scale=1.0, constant=0.0, least=0.0):
    """z = 1 as soon as x reaches 5, which the leader, who wants x large, would rather not see: inf -5 is not attained."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(least, 10))
    m.lower = LowerLevel()
    m.lower.z = pyo.Var(within=pyo.Binary)
    m.lower.row = pyo.Constraint(expr=5 * m.lower.z <= m.x)
    m.lower.obj = pyo.Objective(expr=m.lower.z, sense=pyo.maximize)
    m.obj = pyo.Objective(expr=scale * (100 * m.lower.z - m.x) + constant)
    return m


def test_an_infimum_that_is_not_attained_is_approached():
    result = solve(threshold())
    assert result.upper_objective == pytest.approx(-5, abs=1e-4)
    assert result.upper_objective > -5
    assert result.bound == pytest.approx(-5, abs=1e-6)


def test_an_infimum_that_is_too_steep_is_not_certified():
    result = solve(threshold(scale=1000, constant=5000))
    assert result.verdict == "best_found"
    assert result.termination == "stalled"
    assert result.bound == pytest.approx(0, abs=1e-6)
    assert result.upper_objective > 1e-4


def test_where_the_leader_cannot_stay_below_the_threshold():
    agrees(solve(threshold(least=5)), 90)


def test_follower_without_answer_at_some_x():
    m = threshold()
    m.x.domain = pyo.Integers
    m.lower.least = pyo.Constraint(expr=m.lower.z >= m.x - 7)
    agrees(solve(m), -4)


def test_coupling_that_no_answer_meets():
    m = threshold(least=6)
    m.coupling = pyo.Constraint(expr=m.lower.z <= 0)
    result = solve(m)
    assert result.verdict == "infeasible"
    assert result.upper == {}


def test_ties_are_broken_for_the_leader():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(within=pyo.Binary)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var([0, 1], within=pyo.Binary)
    m.lower.row = pyo.Constraint(expr=m.lower.y[0] + m.lower.y[1] == m.x)
    m.lower.obj = pyo.Objective(expr=m.lower.y[0] + m.lower.y[1])
    m.obj = pyo.Objective(expr=3 * m.lower.y[0] - 2 * m.lower.y[1])
    result = solve(m)
    agrees(result, -2)
    assert result.lower == {"lower.y[0]": 0, "lower.y[1]": 1}


def test_a_follower_that_is_unbounded_wherever_it_is_feasible():
    m = threshold()
    m.lower.u = pyo.Var()
    m.lower.more = pyo.Constraint(expr=m.lower.u >= m.x)
    m.lower.obj.set_value(m.lower.u)
    m.obj.set_value(m.obj.expr + 0 * m.x)
    assert solve(m).verdict == "infeasible"


def test_a_high_point_problem_without_bound():
    """u = max(x - 3 z, z - x) is unbounded above for a leader who forgets the follower."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(within=pyo.Integers, bounds=(0, 5))
    m.lower = LowerLevel()
    m.lower.z, m.lower.u = pyo.Var(within=pyo.Binary), pyo.Var()
    m.lower.first = pyo.Constraint(expr=m.lower.u >= m.x - 3 * m.lower.z)
    m.lower.second = pyo.Constraint(expr=m.lower.u >= m.lower.z - m.x)
    m.lower.obj = pyo.Objective(expr=m.lower.u + 0.5 * m.lower.z)
    m.obj = pyo.Objective(expr=-m.lower.u - 0.1 * m.x)
    agrees(solve(m), -2.5)


def test_a_convex_quadratic_leader():
    m = threshold()
    m.obj.set_value((m.x - 6.3) ** 2 + m.lower.z)
    agrees(solve(m), 1.0)


def test_values_from_a_list_and_predicates_above():
    m = threshold()
    m.x.domain = pyo.Set(initialize=[0.5, 3.5, 4.5, 8.0])
    agrees(solve(m), -4.5)
    m.no = bilevel.Allowed([m.x], not_four_and_a_half)
    agrees(solve(m), -3.5)


def not_four_and_a_half(x):
    return x != 4.5


def test_unbounded_above():
    m = threshold()
    m.x.setub(None)
    m.lower.obj.set_value(-m.lower.z)
    result = solve(m)
    assert result.verdict == "unbounded"


def test_refusals_name_the_cause():
    m = threshold()
    m.lower.z.domain = pyo.Reals
    with pytest.raises(RefusedError, match="kkt"):
        solve(m)
    m = threshold()
    m.lower.obj.set_value(m.x * m.lower.z)
    with pytest.raises(RefusedError, match="lower is not linear"):
        solve(m)
    m = threshold()
    m.lower.z.domain = pyo.Integers
    m.x.setub(None)
    m.lower.obj.set_value(-m.lower.z)
    with pytest.raises(RefusedError, match=r"lower\.z is integer and nothing bounds it"):
        solve(m)


def test_a_time_limit_keeps_the_best_point():
    model, _ = interdiction(18, 0)
    began = time.process_time()
    result = solve(model, time_limit=1)
    assert time.process_time() - began < 10  # of the processor: what else the machine does is no matter
    if result.verdict != "certified_global":
        assert result.termination == "time_limit"
        assert result.verdict == "best_found"
        assert result.bound <= result.upper_objective


@pytest.mark.parametrize("reach", [3e7, None])
def test_far_down_is_not_without_end(reach):
    """The high-point problem is unbounded by z alone, which the follower keeps at zero: F = -x is as low as x goes."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, reach))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(within=pyo.Binary)
    model.lower.z = pyo.Var(bounds=(0, None))
    model.lower.obj = pyo.Objective(expr=model.lower.z + model.lower.y)
    model.obj = pyo.Objective(expr=-model.x - model.lower.z)
    result = bilevel.solve(model, "mixed_integer", time_limit=30)
    if reach is None:
        assert result.verdict == "unbounded"
    else:
        assert result.verdict != "unbounded"
        assert result.upper_objective == pytest.approx(-reach)
