"""The path: certified values are those of a dense scan, bounds are never above it, and what is not proved is refused."""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo
import pytest
from few_variables import KINDS, decay, drawn, regression, single

import bilevel
from bilevel import Allowed, LowerLevel, Observer
from bilevel.errors import RefusedError
from bilevel.response.response import Response


def scan(model, per_side=25):
    """The least F, minimised, on a lattice of x, among the points that meet the upper constraints."""
    response = Response(model)
    sides = []
    for var in response.problem.variables:
        low, high = var.bounds
        sides.append(np.geomspace(low, high, per_side) if low > 0 else np.linspace(low, high, per_side))
    points = np.array([axis.ravel() for axis in np.meshgrid(*sides, indexing="ij")]).T
    replies = response.many(points)
    return float(np.where(replies.violation <= 1e-9, replies.cost, np.inf).min())


def check_certified(model, result, scanned, sense=1):
    size = max(1.0, abs(scanned))
    assert result.verdict == "certified_global"
    assert sense * result.bound <= scanned + 1e-7 * size
    assert sense * result.upper_objective <= scanned + 1e-5 * size
    assert sense * (result.upper_objective - result.bound) >= 0.0
    assert abs(result.upper_objective - result.bound) <= 1e-5 * max(1.0, abs(result.upper_objective))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("quartic", "moving rows and bounds")])
def test_certified_value_is_the_smallest_of_a_dense_scan(kind, seed):
    model = regression(seed, **KINDS[kind])
    check_certified(model, bilevel.solve(model, "upper_boxes", time_limit=60), scan(model))


def test_a_follower_that_is_not_quadratic():
    model = regression(quartic=True, p=2)
    check_certified(model, bilevel.solve(model, "upper_boxes", time_limit=60), scan(model, 12))


@pytest.mark.parametrize("seed", range(3))
def test_a_decay_and_a_penalty(seed):
    model = decay(seed=seed)
    check_certified(model, bilevel.solve(model, "upper_boxes", time_limit=60), scan(model))


@pytest.mark.parametrize("seed", range(25))
def test_no_bound_is_above_a_scan_of_a_random_problem(seed):
    model = drawn(seed)
    result = bilevel.solve(model, "upper_boxes", time_limit=2)
    scanned = scan(model, 301 if len(model.x) == 1 else 21)
    if result.verdict == "infeasible":
        assert scanned == math.inf
    elif result.verdict == "certified_global" and scanned < math.inf:
        check_certified(model, result, scanned)
    else:
        assert result.bound is None or result.bound <= scanned + 1e-7 * max(1.0, abs(scanned))


@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_the_rational_path(seed):
    rng = np.random.default_rng(seed)
    Z, t, Z_v, t_v = rng.normal(size=(20, 5)), rng.normal(size=20), rng.normal(size=(20, 5)), rng.normal(size=20)

    def build():
        model = pyo.ConcreteModel()
        model.x = pyo.Var(bounds=(1e-3, 1e3))
        model.lower = LowerLevel()
        w = model.lower.w = pyo.Var(range(5))
        model.lower.obj = pyo.Objective(
            expr=bilevel.least_squares(Z, t, w) + model.x * sum(w[j] ** 2 for j in range(5))
        )
        model.obj = pyo.Objective(expr=bilevel.least_squares(Z_v, t_v, w))
        return model

    one, other = (bilevel.solve(build(), method) for method in ("upper_boxes", "rational"))
    assert one.verdict == other.verdict == "certified_global"
    assert one.upper_objective == pytest.approx(other.upper_objective, rel=1e-5)
    assert one.bound <= other.upper_objective + 1e-9
    assert other.bound <= one.upper_objective + 1e-9


def follow(x, y):
    return (y - x) ** 2


KNOWN = {
    "corner": (single(follow, lambda x, y: -y), -1.0),
    "interior": (single(follow, lambda x, y: (y - 0.3) ** 2 + 2), 2.0),
    "kink": (single(follow, lambda x, y: 3 * y - x, below=(0, None)), 0.0),
    "kink of F": (single(follow, lambda x, y: abs(y - 0.3) + 0.1 * x), 0.03),
    "smooth through a kink": (single(follow, lambda x, y: y + (x + 0.4) ** 2, below=(0, None)), 0.0),
    "maximised": (single(follow, lambda x, y: x - 3 * y, below=(0, None), sense=pyo.maximize), 0.0),
    "follower maximises": (single(lambda x, y: (y - pyo.exp(x)) ** 2, lambda x, y: (y - 2) ** 2, (0, 1)), 0.0),
    "two minima": (single(follow, lambda x, y: (y**2 - 0.25) ** 2 + 0.1 * y), None),
    "decay": (single(lambda x, y: (y - x**3) ** 2 + y**2, lambda x, y: (y - 0.2) ** 2 + 0.01 * x, (0, 1)), None),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_optima(name):
    model, best = KNOWN[name]
    sense = -1 if name == "maximised" else 1
    result = bilevel.solve(model, "upper_boxes", time_limit=30)
    check_certified(model, result, scan(model, 2001), sense)
    if best is not None:
        assert result.upper_objective == pytest.approx(best, abs=1.1e-5)


def test_the_follower_maximises():
    model = single(follow, lambda x, y: (y - 0.3) ** 2)
    model.lower.obj.set_value(-((model.lower.y - model.x) ** 2))
    model.lower.obj.sense = pyo.maximize
    result = bilevel.solve(model, "upper_boxes")
    assert result.verdict == "certified_global"
    assert result.upper["x"] == pytest.approx(0.3, abs=4e-3)


def test_rows_that_move_with_x():
    """min y^2 with y >= x: y = max(x, 0)."""
    model = single(lambda x, y: y**2, lambda x, y: (x + 0.5) ** 2 * 0.1 - y)
    model.lower.row = pyo.Constraint(expr=model.lower.y >= model.x)
    result = bilevel.solve(model, "upper_boxes", time_limit=30)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(0.225 - 1.0, abs=1e-5)


def coupled():
    """y = x[0] + x[1] <= 1, F the distance to (1, 1): 0.5 at (0.5, 0.5)."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(0, 2))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var()
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x[0] - model.x[1]) ** 2)
    model.obj = pyo.Objective(expr=sum((model.x[j] - 1) ** 2 for j in range(2)))
    model.limit = pyo.Constraint(expr=model.lower.y <= 1)
    return model


def test_coupling():
    result = bilevel.solve(coupled(), "upper_boxes", time_limit=30)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(0.5, abs=1e-5)
    assert result.bound <= 0.5
    assert result.upper_violation <= 1e-6


def test_a_constraint_over_x_alone():
    model = coupled()
    model.limit.deactivate()
    model.circle = pyo.Constraint(expr=model.x[0] ** 2 + model.x[1] ** 2 <= 0.5)
    result = bilevel.solve(model, "upper_boxes", time_limit=30)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(0.5, abs=1e-5)


def test_infeasible_coupling_is_proved():
    model = coupled()
    model.limit.set_value(model.lower.y >= 4.1)
    assert bilevel.solve(model, "upper_boxes").verdict == "infeasible"
    model.limit.set_value(model.lower.y >= 3.9)
    assert bilevel.solve(model, "upper_boxes", time_limit=30).verdict == "certified_global"


def test_a_first_batch_without_a_feasible_point_says_nothing_of_the_boxes_to_come(monkeypatch):
    monkeypatch.setattr("bilevel.solvers.boxes.box_search._BATCH", 8)
    model = coupled()
    model.limit.set_value(model.lower.y >= 3.9)  # the last of the 36 first boxes alone has such points
    result = bilevel.solve(model, "upper_boxes", time_limit=2)
    assert result.verdict in ("best_found", "certified_global")
    assert result.upper_objective == pytest.approx(2 * 0.95**2, abs=1e-2)


def test_boxes_are_cut_before_there_is_a_feasible_point():
    model = single(lambda x, y: (y - pyo.sin(9 * x)) ** 2, lambda x, y: x + y)
    model.limit = pyo.Constraint(expr=model.lower.y >= 1.001)
    assert bilevel.solve(model, "upper_boxes", time_limit=30).verdict == "infeasible"
    model.limit.set_value(model.lower.y >= 0.99999)
    result = bilevel.solve(model, "upper_boxes", time_limit=30)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(1 - math.pi / 6, abs=1e-3)


def test_a_follower_without_an_answer_is_no_matter_where_a_constraint_rules_x_out():
    model = single(follow, lambda x, y: y + 0.1 * x, below=(-9, 1))
    model.lower.row = pyo.Constraint(expr=model.lower.y >= 3 * model.x)  # from x = 1/3 on there is no answer
    model.only = pyo.Constraint(expr=model.x <= 0.2)
    result = bilevel.solve(model, "upper_boxes")
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(-1.1, abs=1e-5)
    model.only.set_value(model.x >= 0.5)
    assert bilevel.solve(model, "kkt").verdict == "infeasible"
    with pytest.raises(RefusedError, match="answer at every x"):
        bilevel.solve(model, "upper_boxes")


def test_an_equality_above():
    model = coupled()
    model.limit.set_value(model.lower.y == 1)
    result = bilevel.solve(model, "upper_boxes", time_limit=20)
    assert result.bound is None or result.bound <= 0.5
    assert result.verdict in ("certified_global", "best_found")


def test_the_same_run_twice():
    one, other = (bilevel.solve(regression(5, nonnegative=True), "upper_boxes") for _ in range(2))
    assert (one.upper, one.bound, one.notes) == (other.upper, other.bound, other.notes)


def test_little_time_gives_a_point_and_no_false_claim():
    model = regression(1, nonnegative=True)
    result = bilevel.solve(model, "upper_boxes", time_limit=1e-6)
    assert result.termination == "time_limit"
    assert result.verdict == "best_found"
    assert result.bound is None or result.bound <= scan(model, 8)


def test_bounds_only_rise_while_it_runs():
    seen = []

    class Listener(Observer):
        def bounded(self, incumbent, bound):
            seen.append((incumbent, -math.inf if bound is None else bound))

    bilevel.solve(regression(2, penalty="log"), "upper_boxes", observer=Listener())
    values, bounds = zip(*seen, strict=True)
    assert list(bounds) == sorted(bounds)
    assert list(values) == sorted(values, reverse=True)


def test_auto_takes_it_where_no_formula_fits():
    result = bilevel.solve(regression(3, nonnegative=True))
    assert (result.method, result.verdict) == ("upper_boxes", "certified_global")


def many(model):
    model.z = pyo.Var(range(3), bounds=(0, 1))
    model.obj.set_value(model.obj.expr + sum(model.z[j] for j in range(3)))


def unbounded(model):
    model.x.setub(None)


def integer(model):
    model.x.domain = pyo.Integers


def predicate(model):
    model.only = Allowed([model.x], lambda x: x < 0.5)


def linear(model):
    model.lower.y.bounds = (-5, 5)
    model.lower.obj.set_value(model.lower.y * (model.x + 3))


def wavy(model):
    model.lower.y.bounds = (-2, 2)
    model.lower.obj.set_value((model.lower.y**2 - 1 - 0.1 * model.x) ** 2)


def kinked(model):
    model.lower.obj.set_value((model.lower.y - model.x) ** 2 - 0.1 * abs(model.lower.y))


def curved_row(model):
    model.lower.row = pyo.Constraint(expr=model.lower.y**2 <= 4)


def turning_row(model):
    model.lower.row = pyo.Constraint(expr=model.x * model.lower.y <= 4)


def step(model):
    model.obj.set_value(pyo.Expr_if(model.lower.y >= 0.1, 1.0, 0.0) + model.x)


def unanswered(model):
    model.lower.y.bounds = (-9, 1)
    model.lower.row = pyo.Constraint(expr=model.lower.y >= 3 * model.x)


def binary(model):
    model.lower.z = pyo.Var(within=pyo.Binary)
    model.lower.obj.set_value((model.lower.y - model.x) ** 2 + model.lower.z)


SPOILS = [many, unbounded, integer, predicate, linear, wavy, kinked, curved_row, turning_row, step, unanswered, binary]


@pytest.mark.parametrize("spoil", SPOILS)
def test_refuses_what_it_cannot_prove(spoil):
    model = single(follow, lambda x, y: (y - 0.3) ** 2)
    spoil(model)
    with pytest.raises(RefusedError):
        bilevel.solve(model, "upper_boxes")


def test_a_response_function_is_refused():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel(response=lambda x: {"y": x["x"]})
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    with pytest.raises(RefusedError, match="function"):
        bilevel.solve(model, "upper_boxes")


def test_an_answer_that_an_engine_finds_only_from_a_start_inside_the_domain():
    """The start 0 is no place for log(y): without digits to spare an x looks feasible that is not."""
    model = single(
        lambda x, y: pyo.sqrt(x) * (y - pyo.sqrt(x)) ** 2 - 0.3 * pyo.log(y),
        lambda x, y: (0.5 * x - 0.7) ** 2,
        bounds=(0.001, 1),
        sense=pyo.maximize,
    )
    model.lower.floor = pyo.Constraint(expr=model.lower.y >= 0.001)
    model.limit = pyo.Constraint(expr=model.lower.y + 1 / model.x <= 2.8)
    result = bilevel.solve(model, "upper_boxes", time_limit=20)
    root = result.upper["x"] ** 0.5
    assert result.verdict == "certified_global"
    assert result.lower["lower.y"] == pytest.approx((root + math.sqrt(root**2 + 0.6 / root)) / 2, abs=1e-6)
    assert result.upper_objective == pytest.approx(0.184670570, abs=3e-6)
