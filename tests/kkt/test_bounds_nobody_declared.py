"""Ranges from rows, boxes from an objective's level, tolls by duality, Fritz John: what proves F where bounds are missing."""

from __future__ import annotations

import math

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bilevel
from bilevel import LowerLevel
from bilevel.errors import RefusedError
from bilevel.kkt.conditions import apply_conditions
from bilevel.programs.extents import box_below
from bilevel.programs.program import Program
from bilevel.reading.problem import Problem
from bilevel.reading.ranges import ranges_of
from bilevel.solvers.single_level.treated_model import TreatedModel


def levels(x_bounds, y_bounds):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=x_bounds)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(bounds=y_bounds)
    return m, m.x, m.lower.y


# ------------------------------------------------------------------------------------------------------------- ranges


@given(st.integers(0, 10_000))
def test_no_feasible_point_lies_outside_its_ranges(seed):
    rng = np.random.default_rng(seed)
    m, x, y = levels((-2, 3), None)
    m.lower.z = z = pyo.Var()
    point = {"x": rng.uniform(-2, 3), "lower.y": rng.normal(), "lower.z": rng.normal()}
    a = rng.integers(-3, 4, (4, 3))
    values = np.array(list(point.values()))
    m.lower.rows = pyo.Constraint(
        range(4),
        rule=lambda _, i: (
            sum(int(c) * v for c, v in zip(a[i], (x, y, z), strict=True)) + 0 * y
            <= float(a[i] @ values + rng.integers(0, 3))
        ),
    )
    m.lower.disc = pyo.Constraint(expr=(y - 1) ** 2 + z**2 <= float((values[1] - 1) ** 2 + values[2] ** 2))
    m.lower.obj = pyo.Objective(expr=y + z)
    m.obj = pyo.Objective(expr=x + y)
    declared = [(v.lb, v.ub) for v in (x, y, z)]
    ranges = ranges_of(Problem.read(m))
    for name, value in point.items():
        low, high = ranges[name]
        assert low <= value <= high, (name, value, ranges)
    assert np.isfinite(ranges["lower.y"]).all()
    assert [(v.lb, v.ub) for v in (x, y, z)] == declared


def test_a_bound_written_as_a_row_is_a_bound_to_the_last_digit():
    """y^3 is convex on [0, 3] and on no larger set to the left."""
    m, x, y = levels((0, 2), None)
    m.lower.low = pyo.Constraint(expr=2 * y >= 0)
    m.lower.high = pyo.Constraint(expr=y <= 3)
    m.lower.obj = pyo.Objective(expr=y**3 - 3 * x * y)
    m.obj = pyo.Objective(expr=(y - 1) ** 2 + (x - 1) ** 2)
    assert ranges_of(Problem.read(m))["lower.y"] == (0.0, 3.0)
    result = bilevel.solve(m, "kkt", time_limit=30)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(0, abs=1e-6)


def test_a_row_with_a_variable_that_starts_at_zero_is_a_bound_too():
    """y >= x >= 0, and y^3 is convex there."""
    m, x, y = levels((0, 2), (None, 3))
    m.lower.low = pyo.Constraint(expr=y - x >= 0)
    m.lower.obj = pyo.Objective(expr=y**3 - 3 * x * y)
    m.obj = pyo.Objective(expr=(y - 1) ** 2 + (x - 1) ** 2)
    assert ranges_of(Problem.read(m))["lower.y"] == (0.0, 3.0)
    assert bilevel.solve(m, "kkt", time_limit=30).verdict == "certified_global"


def test_coupling_rows_say_nothing_of_what_the_follower_may_do():
    m, x, y = levels((0, 2), None)
    m.wish = pyo.Constraint(expr=y <= 1)
    m.lower.obj = pyo.Objective(expr=(y - x) ** 2)
    m.obj = pyo.Objective(expr=-y)
    assert ranges_of(Problem.read(m))["lower.y"] == (-np.inf, np.inf)


# ------------------------------------------------------------------------------------------------------ sublevel boxes


def quadratic(matrix, center):
    v = ca.SX.sym("v", len(center) + 1)  # the last one is not in the objective
    d = v[: len(center)] - ca.DM(center)
    return Program(
        name="quadratic",
        parameters=ca.SX(0, 1),
        variables=v,
        objective=ca.bilin(ca.DM(matrix), d, d) / 2 + 1,
        rows=ca.SX(0, 1),
        row_lower=np.zeros(0),
        row_upper=np.zeros(0),
        lower=np.full(len(center) + 1, -np.inf),
        upper=np.full(len(center) + 1, np.inf),
        integer=np.zeros(len(center) + 1, dtype=bool),
    )


def test_the_box_of_an_ellipsoid_touches_it():
    """(v1 - 1)^2 / 2 + 2 (v2 + 2)^2 <= 2: half axes 2 and 1."""
    low, high = box_below(quadratic([[1.0, 0.0], [0.0, 4.0]], [1.0, -2.0]), np.zeros(0), 3.0)
    assert low[:2] == pytest.approx([-1, -3], abs=1e-5)
    assert high[:2] == pytest.approx([3, -1], abs=1e-5)
    assert not np.isfinite([low[2], high[2]]).any()


def test_an_objective_that_is_flat_somewhere_gives_none():
    assert box_below(quadratic([[1.0, 1.0], [1.0, 1.0]], [0.0, 0.0]), np.zeros(0), 3.0) is None
    assert box_below(quadratic([[1.0, 0.0], [0.0, -1.0]], [0.0, 0.0]), np.zeros(0), 3.0) is None


def test_a_convex_f_is_certified_without_a_bound_in_sight():
    m, x, y = levels(None, None)
    m.lower.cap = pyo.Constraint(expr=x + y <= 1)
    m.lower.obj = pyo.Objective(expr=(y - 2 * x) ** 2)
    m.obj = pyo.Objective(expr=(x - 1) ** 2 + x * y + y**2)
    result = bilevel.solve(m, "kkt", time_limit=30)
    assert result.verdict == "certified_global", result.notes
    # y = min(2x, 1 - x): from x = 1/3 on F = x^2 - 3x + 2, least at 3/2, and before 7x^2 - 2x + 1 >= 6/7
    assert result.upper_objective == pytest.approx(-0.25, abs=1e-5)


# ---------------------------------------------------------------------------------------------------------------- tolls


def tolls(sense=1, flip=False, limit=None):
    """Two ways from a to b: a free one at cost 7 and one at 2 that may be tolled; revenue at most 5."""
    m = pyo.ConcreteModel()
    m.toll = pyo.Var(bounds=(0, limit))
    m.lower = LowerLevel()
    m.lower.flow = flow = pyo.Var(["free", "tolled"], bounds=(0, None))
    body = flow["free"] + flow["tolled"]
    m.lower.demand = pyo.Constraint(expr=(-body == -1) if flip else (body == 1))
    cost = 7 * flow["free"] + (2 + m.toll) * flow["tolled"]
    m.lower.obj = pyo.Objective(expr=sense * cost, sense=pyo.minimize if sense == 1 else pyo.maximize)
    m.obj = pyo.Objective(expr=sense * m.toll * flow["tolled"], sense=pyo.maximize if sense == 1 else pyo.minimize)
    return m


@pytest.mark.parametrize("sense", [1, -1])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("limit", [None, 20, 3])
def test_a_toll_without_limit_is_certified(sense, flip, limit):
    result = bilevel.solve(tolls(sense, flip, limit), "kkt", time_limit=30)
    assert result.verdict == "certified_global", result.notes
    assert sense * result.upper_objective == pytest.approx(min(5, limit or 5), abs=1e-4)


@pytest.mark.parametrize("flip", [False, True])
def test_the_stated_objective_has_no_products_and_the_same_value(flip):
    treated = TreatedModel(Problem.read(tolls(flip=flip)), "sos1_cut")
    block = treated.model.complementarity
    assert block.objective.expr.polynomial_degree() == 1
    # at toll 5 both ways cost 7: revenue 5 on the tolled one, and the rows of what is paid are tight
    answer = bilevel.solve(tolls(flip=flip), "kkt", time_limit=30)
    values = {name: answer.lower[name] for name in answer.lower} | answer.upper
    for name, value in values.items():
        treated.model.find_component(name).set_value(value, skip_validation=True)
    multiplier = treated.model.bilevel_kkt.multiplier
    for key in multiplier:
        multiplier[key].set_value(0.0)
    sign = 1 if flip else -1
    multiplier["lower.demand", "equality"].set_value(sign * 7.0)
    assert pyo.value(block.objective.expr) == pytest.approx(5, abs=1e-4)
    assert all(pyo.value(row.body) <= 1e-6 for row in block.paid.values())


# ------------------------------------------------------------------------------------------------------- Fritz John


def curved():
    """y is to be least within y^2 <= x: at x = 0 the only feasible y is no KKT point, and there F is least.

    Dempe (1992) has the row. y = -sqrt x, so F = x - y = x + sqrt x.
    """
    m, x, y = levels((0, 4), (-5, 5))
    m.lower.row = pyo.Constraint(expr=y**2 <= x)
    m.lower.obj = pyo.Objective(expr=y)
    m.obj = pyo.Objective(expr=x - y)
    return m


def test_an_optimum_without_multipliers_is_not_lost():
    result = bilevel.solve(curved(), "kkt", time_limit=30)
    assert result.upper_objective == pytest.approx(0, abs=2e-3)  # sqrt x of an x of 1e-6
    assert result.bound is not None
    assert result.bound <= 1e-6


def test_weighted_conditions_hold_where_the_others_cannot():
    m = curved()
    block = apply_conditions(m, weighted=["lower"])
    weight, multiplier = block.weight["lower"], block.multiplier["lower.row", "upper"]
    m.x.set_value(0.0)
    m.lower.y.set_value(0.0)
    for key in block.multiplier:
        block.multiplier[key].set_value(0.0)
    weight.set_value(0.0)
    multiplier.set_value(1.0)
    assert pyo.value(block.stationarity["lower.y"].body) == 0
    assert pyo.value(block.normal["lower"].body) == pyo.value(block.normal["lower"].upper)
    weight.set_value(1.0)  # Karush, Kuhn and Tucker's: no multiplier makes 1 + mu 2 y vanish at y = 0
    assert pyo.value(block.stationarity["lower.y"].body) == 1


# ------------------------------------------------------------------------------------------------ answers out of reach


@pytest.mark.parametrize("method", ["kkt", "grid"])
@pytest.mark.parametrize("sense", [1, -1])
def test_an_infimum_that_is_not_attained_is_no_answer(method, sense):
    """f = exp(y) falls for ever: no x has an answer, and nothing may be certified."""
    m, x, y = levels((0, 4), None)
    m.lower.obj = pyo.Objective(expr=sense * pyo.exp(y), sense=pyo.minimize if sense == 1 else pyo.maximize)
    m.obj = pyo.Objective(expr=(x - 1) ** 2)
    assert bilevel.solve(m, method, budget=4, time_limit=20).verdict in ("failed", "infeasible")


def test_the_last_digits_at_a_weakly_active_row_do_not_cost_the_certificate():
    """Slack and multiplier of 2x + y <= 1/2 are both zero at the optimum: an interior point stops 3e-5 short of it."""
    m, x, y = levels((-1, 1), (-2, 2))
    m.lower.row = pyo.Constraint(expr=2 * x + y <= 0.5)
    m.lower.obj = pyo.Objective(expr=pyo.sqrt(1 + y**2) - 0.3 * x * y)
    m.obj = pyo.Objective(expr=-2 * x - y - 3 * x * y - 2 * x**2)
    result = bilevel.solve(m, "kkt", time_limit=30)
    assert result.verdict == "certified_global", result.notes
    assert result.upper_objective == pytest.approx(-0.63706549, abs=1e-6)


def test_rows_that_leave_nothing_leave_the_declared_bounds():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(1, 4))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var()
    m.lower.floor = pyo.Constraint(expr=m.lower.y >= 1.8 + m.x)
    m.lower.roof = pyo.Constraint(expr=m.lower.y <= 1)
    m.lower.obj = pyo.Objective(expr=m.x * (m.lower.y - pyo.sqrt(m.x)) ** 2 + pyo.exp(m.lower.y - m.x))
    m.obj = pyo.Objective(expr=m.x + m.lower.y)
    assert ranges_of(Problem.read(m)) == {"x": (1.0, 4.0), "lower.y": (-math.inf, math.inf)}
    assert bilevel.solve(m, "kkt", time_limit=20).verdict == "infeasible"


@pytest.mark.parametrize("method", ["kkt", "auto"])
def test_a_maximum_below_and_an_arctangent_above_are_taken_or_refused(method):
    m, x, y = levels((-5, 5), None)
    m.lower.roof = pyo.Constraint(expr=y <= x + 2)
    m.lower.obj = pyo.Objective(expr=(2 + bilevel.maximum([0, x])) * (y - pyo.sin(x)) ** 2)
    m.obj = pyo.Objective(expr=(x - 1) ** 2 + y)
    assert bilevel.solve(m, method, time_limit=10).verdict == "certified_global"
    m.obj.set_value(pyo.atan(3 * y) + x**2)
    with pytest.raises(RefusedError, match="vocabulary"):
        bilevel.solve(m, "value_function")


def test_no_certificate_where_f_falls_for_ever_at_one_x_alone():
    """At x = 5/4 the follower does not mind going down (-1, 1): F falls by 5 a step. The other pieces end at -1.1875.

    The relaxation of the pairs is unbounded too, and SCIP loses the node of that piece.
    """
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-4, 2))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(range(3), bounds=lambda _, k: [(None, 7), (None, None), (-1, 6)][k])
    x, (a, b, c) = m.x, m.lower.y.values()
    m.lower.rows = pyo.ConstraintList()
    for row in (3 * x - a - 2 * b - c <= 7, 3 * x + a - 3 * b <= 1, 4 * x - a - b + 2 * c <= -1):
        m.lower.rows.add(row)
    m.lower.obj = pyo.Objective(expr=(4 * x - 1) * a + 4 * b + (4 + x) * c)
    m.row = pyo.Constraint(expr=3 * x + 4 * a + b + 2 * c <= 2)
    m.obj = pyo.Objective(expr=x + 4 * a - b - c)
    assert bilevel.solve(m, "kkt", time_limit=20).verdict == "unbounded"


def test_nor_where_f_falls_with_an_upper_variable():
    """For u to minus infinity the row keeps a above -4 u, and F is 9 u or less."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=lambda _, k: [(None, None), (-0.005, 0.005)][k])
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(range(3), bounds=lambda _, k: [(None, None), (-5, 1), (-2, None)][k])
    u, w, (a, b, c) = m.x[0] / 10, m.x[1] / 0.001, m.lower.y.values()
    m.lower.row = pyo.Constraint(expr=-4 * u - 2 * w - a - 4 * b + c <= 9)
    linear = (4 * u - 4 * w - 1) * a + (2 * u + 2 * w + 3) * b + (4 - 3 * u) * c
    curved = 13.5 * a**2 + 3.5 * b**2 + 10.5 * c**2 + 3 * a * b - 2 * a * c + 10 * b * c
    m.lower.obj = pyo.Objective(expr=linear + curved)
    m.row = pyo.Constraint(expr=4 * u + 3 * w <= 2)
    m.obj = pyo.Objective(expr=-3 * u + 2 * w - 3 * a - 2 * c)
    result = bilevel.solve(m, "kkt", time_limit=20)
    assert (result.verdict, result.bound) in [("verified_local", None), ("unbounded", None)]
