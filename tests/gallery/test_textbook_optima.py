"""The stated optima of the small examples, by enumeration and closed forms instead of our solvers."""

import itertools
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pyomo.environ as pyo
import pytest
from model_files import evaluate, evaluate_at, load, set_values
from scipy.optimize import linprog


def test_moore_bard_by_enumeration() -> None:
    known = load("moore_bard").KNOWN
    answers = {}
    for x, y in itertools.product(range(11), range(10, -1, -1)):
        if -25 * x + 20 * y <= 30 and x + 2 * y <= 10 and 2 * x - y <= 15 and 2 * x + 10 * y >= 15:
            answers[x] = y
    best = min(answers, key=lambda x: -x - 10 * answers[x])
    assert best == known["upper"]["x"]
    assert -best - 10 * answers[best] == known["upper_objective"]


def follower_lp(model: Any, x: float) -> float | None:
    """The answer of a follower with one variable and linear rows, from the model's own expressions."""
    model.x.set_value(x, skip_validation=True)
    y = model.lower.y
    low, high = y.bounds[0] if y.bounds[0] is not None else -np.inf, y.bounds[1] if y.bounds[1] is not None else np.inf
    for row in model.lower.component_data_objects(pyo.Constraint):
        body = [evaluate_at(row.body, y, value) for value in (0.0, 1.0)]
        slope = body[1] - body[0]
        for bound, side in ((row.lower, 1), (row.upper, -1)):
            if bound is not None and slope * side > 0:
                low = max(low, (pyo.value(bound) - body[0]) / slope)
            elif bound is not None:
                high = min(high, (pyo.value(bound) - body[0]) / slope)
    if low > high + 1e-9:
        return None
    rising = evaluate_at(model.lower.obj.expr, y, 1.0) > evaluate_at(model.lower.obj.expr, y, 0.0)
    return low if rising else high


def scanned_minimum(model: Any, points: Any) -> tuple[float, float]:
    best = (np.inf, np.nan)
    for x in points:
        y = follower_lp(model, x)
        if y is None:
            continue
        model.lower.y.set_value(y, skip_validation=True)
        rows = model.component_data_objects(pyo.Constraint, descend_into=False)
        if all(row.slack() >= -1e-9 for row in rows):
            best = min(best, (evaluate(model.obj.expr), x))
    return best


@pytest.mark.parametrize("name", ["bard", "coupling"])
def test_linear_examples_by_scanning_the_answers(name: str) -> None:
    module = load(name)
    objective, x = scanned_minimum(module.create_model(), np.linspace(0, 10, 401))
    assert objective == pytest.approx(module.KNOWN["upper_objective"], abs=1e-9)
    assert x == pytest.approx(module.KNOWN["upper"]["x"], abs=1e-9)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("toy", lambda x: {"x": x, "lower.y": min(x, 5.0)}),
        ("quadratic_pair", lambda x: {"theta": x, "lower.w": x}),
    ],
)
def test_parabolas(name: str, answer: Callable[[float], dict[str, float]]) -> None:
    module = load(name)
    model = module.create_model()
    losses = []
    for x in np.linspace(0, 5, 11):
        set_values(model, answer(float(x)))
        losses.append(evaluate(model.obj.expr))
    assert losses[0] == module.KNOWN["upper_objective"]
    assert min(losses) == losses[0]


def test_stackelberg_closed_form() -> None:
    a, b, c1, c2 = 100.0, 1.0, 10.0, 10.0
    known, model = load("stackelberg").KNOWN, load("stackelberg").create_model(a, b, c1, c2)
    leader = (a - 2 * c1 + c2) / (2 * b)
    set_values(model, {"leader": leader, "lower.follower": (a - c2 - b * leader) / (2 * b)})
    assert leader == known["upper"]["leader"]
    assert evaluate(model.obj.expr) == pytest.approx(known["upper_objective"], rel=1e-12)
    assert known["upper_objective"] == pytest.approx((a - 2 * c1 + c2) ** 2 / (8 * b))


def test_divisible_by_enumeration() -> None:
    module = load("divisible")
    model = module.create_model()
    profits = {}
    for boxes, pallet in itertools.product(range(1, 13), range(1, 6)):
        if model.whole_pallets.holds([boxes, pallet]):
            set_values(model, {"boxes": boxes, "pallet": pallet, "lower.taken": min(boxes, 7)})
            profits[boxes, pallet] = evaluate(model.obj.expr)
    best = max(profits, key=lambda point: profits[point])
    assert best == (module.KNOWN["upper"]["boxes"], module.KNOWN["upper"]["pallet"])
    assert profits[best] == module.KNOWN["upper_objective"]
    assert sorted(profits.values())[-2] < profits[best]


def test_toll_setting_by_enumerating_the_ways() -> None:
    """For a way per trip, the tolls that keep each cheapest are a polyhedron, and revenue is linear on it."""
    module = load("toll_setting")
    roads, tolled = module.road_map(), list(module.MOTORWAY)
    ways = []
    for trip in module.TRIPS:
        paths = [list(itertools.pairwise(path)) for path in nx.all_simple_paths(roads, *trip)]
        ways.append(
            [(sum(roads.edges[a]["cost"] for a in p), np.array([float(t in p) for t in tolled])) for p in paths]
        )
    best, tolls = -np.inf, None
    for chosen in itertools.product(*ways):
        revenue = sum(demand * uses for demand, (_, uses) in zip(module.TRIPS.values(), chosen, strict=True))
        pairs = [(way, other) for way, others in zip(chosen, ways, strict=True) for other in others]
        cheaper = [way[1] - other[1] for way, other in pairs], [other[0] - way[0] for way, other in pairs]
        answer = linprog(-revenue, A_ub=cheaper[0], b_ub=cheaper[1], bounds=(0, 10))
        if answer.status == 0 and -answer.fun > best + 1e-9:
            best, tolls = -answer.fun, answer.x
    assert best == pytest.approx(module.KNOWN["upper_objective"], abs=1e-9)
    assert tolls == pytest.approx(list(module.KNOWN["upper"].values()), abs=1e-9)
