"""Absolute values and maxima as people write them, below and above: solved for what they are by every path."""

import numpy as np
import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel, maximum, solve
from bilevel.errors import RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response


def pair(f, F, *, x=(0, 5), y=(-20, 20), sense=pyo.minimize, **others):
    """One upper and one lower variable; f and F are functions of both, others rows of the lower level."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=x)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=y)
    for name, row in others.items():
        model.lower.add_component(name, pyo.Constraint(expr=row(model.x, model.lower.y)))
    model.lower.obj = pyo.Objective(expr=f(model.x, model.lower.y), sense=sense)
    model.obj = pyo.Objective(expr=F(model.x, model.lower.y))
    return model


def weighted():
    """y = 3 - x/2 as long as that is positive."""
    return pair(lambda x, y: (y - 3) ** 2 + x * abs(y), lambda x, y: (y - 1) ** 2 + 100)


def soft_threshold(lam, least):
    return np.sign(least) * np.maximum(np.abs(least) - lam / 2, 0.0)


def lasso(target=(2.0, -1.0, 0.3)):
    """w_i = S(t_i, lam / 2): three coefficients on orthonormal columns, validated against (1.5, -0.5, 0)."""
    model = pyo.ConcreteModel()
    model.lam = pyo.Var(bounds=(0, 6))
    model.lower = LowerLevel()
    model.lower.w = w = pyo.Var([0, 1, 2], bounds=(-10, 10))
    loss = sum((w[i] - t) ** 2 for i, t in enumerate(target))
    model.lower.obj = pyo.Objective(expr=loss + model.lam * sum(abs(w[i]) for i in w))
    model.obj = pyo.Objective(expr=(w[0] - 1.5) ** 2 + (w[1] + 0.5) ** 2 + w[2] ** 2)
    return model


@pytest.mark.parametrize("method", ["auto", "kkt", "upper_boxes", "value_function"])
def test_a_weight_proved_not_negative_is_solved_exactly(method):
    result = solve(weighted(), method, time_limit=20)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(100.0, abs=1e-4)
    assert set(result.lower) == {"lower.y"}


@pytest.mark.parametrize("method", ["kkt", "upper_boxes"])
def test_a_lasso_by_absolute_values_is_certified(method):
    result = solve(lasso(), method, time_limit=20)
    assert result.verdict == "certified_global"
    assert result.upper["lam"] == pytest.approx(1.0, abs=1e-3)
    assert result.upper_objective == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("method", ["gradient", "grid", "gp", "rbf", "random"])
def test_every_search_solves_a_lasso(method):
    model = lasso()
    before = {c.name for c in model.component_objects()}
    result = solve(model, method, budget=15, seed=3)
    assert result.verdict == "best_found"
    expected = soft_threshold(result.upper["lam"], np.array([2.0, -1.0, 0.3]))
    assert list(result.lower.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert all(set(evaluation.lower) <= {f"lower.w[{i}]" for i in range(3)} for evaluation in result.history)
    assert {c.name for c in model.component_objects()} == before


KINDS = {
    "nested sums": (lambda x, y: (y - 3) ** 2 + 2 * (x / 4 * (abs(y) + abs(y - 1)) + 1), "minimize"),
    "a maximum": (lambda x, y: (y - 3) ** 2 + x * maximum([0, y - 1, 2 * y - 4]), "minimize"),
    "a hinge squared": (lambda x, y: (y - 1) ** 2 + x * maximum([0, 2 - y]) ** 2, "minimize"),
    "a maximiser": (lambda x, y: 4 * y - y**2 - x * abs(y - 1), "maximize"),
    "a minimum": (lambda x, y: 4 * y - y**2 + x * 0.5 * maximum([-y, -3]) * -1, "maximize"),
    "deviations alone": (lambda x, y: abs(y - 1) + abs(y - x) + 0.5 * abs(y - 3), "minimize"),
    "a power of x": (lambda x, y: (y - 3) ** 2 + abs(y) ** (2 + x / 10), "minimize"),
    "a weight of x": (lambda x, y: (y - 3) ** 2 + pyo.exp(-x) * abs(y) * 3, "minimize"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_a_fine_grid(kind):
    f, sense = KINDS[kind]
    response = Response(pair(f, lambda x, y: x + y, sense=getattr(pyo, sense)))
    sign = 1 if sense == "minimize" else -1
    grid = np.linspace(-5, 8, 26001)
    for x in (0.3, 1.7, 4.1):
        y = response(np.array([x])).y[0]
        value = lambda v, x=x: sign * float(pyo.value(f(x, v)))  # noqa: E731
        assert value(y) <= min(value(v) for v in grid[::40]) + 1e-7
        assert value(y) <= min(value(y + d) for d in (-1e-3, 1e-3)) + 1e-9
    assert response.programs["lower"].tops


def test_a_convex_row_is_an_epigraph_too():
    model = pair(
        lambda x, y: (y - 4) ** 2, lambda x, y: (y - 1) ** 2 + (x - 3) ** 2 / 10, room=lambda x, y: 2 * abs(y - 1) <= x
    )
    result = solve(model, "kkt", time_limit=20)
    assert result.verdict == "certified_global"
    # y = 1 + x / 2 up to 4: F = x^2 / 4 + (x - 3)^2 / 10, least at x = 6/7
    assert result.upper["x"] == pytest.approx(6 / 7, abs=1e-3)


def test_kinks_above_cost_no_certificate():
    model = pair(lambda x, y: (y - x) ** 2, lambda x, y: abs(x - 2) + 3 * maximum([y - 4, (4 - y) / 2]))
    model.row = pyo.Constraint(expr=abs(model.x - 1) <= 2.5)
    for method in ("kkt", "value_function"):
        result = solve(model, method, time_limit=20)
        assert result.verdict == "certified_global"
        assert result.upper_objective == pytest.approx(1.5 + 0.75, abs=1e-5)


def test_integer_followers_keep_their_path():
    model = pair(lambda x, y: abs(y - x) + 0.3 * maximum([y, 4]), lambda x, y: (x - 2) ** 2 + (y - 4) ** 2, y=(0, 20))
    model.lower.y.domain = pyo.Integers
    result = solve(model, "auto", time_limit=20)
    assert (result.method, result.verdict) == ("mixed_integer", "certified_global")
    assert result.upper_objective == pytest.approx(1.25, abs=1e-4)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: (y - 3) ** 2 - x * abs(y),
        lambda x, y: (y - 3) ** 2 + (x - 1) * abs(y),
        lambda x, y: y**2 + abs(y**2 - 1),
        lambda x, y: (y - 3) ** 2 + abs(abs(y) - 1),
        lambda x, y: (y - 3) ** 2 + abs(y) + abs(abs(y) - 1) ** 2,
    ],
    ids=["falls", "either sign", "a bent piece", "nested downwards", "nested in a square"],
)
def test_other_kinks_stay_as_they_are(f):
    model = pair(f, lambda x, y: x + y)
    problem = Problem.read(model)
    assert problem.followers[0].plain is None
    assert not Compilation.of(problem).programs["lower"].tops
    with pytest.raises(RefusedError):
        solve(model, "kkt")


def test_a_sign_may_come_from_a_row():
    model = weighted()
    model.x.setlb(None)
    model.sign = pyo.Constraint(expr=-2 * model.x <= 0)
    assert Problem.read(model).followers[0].plain is not None


def test_the_transformed_model_is_complete(tmp_path):
    single = pyo.TransformationFactory("bilevel.kkt").create_using(lasso())
    single.write(str(tmp_path / "single.nl"))
    names = {c.name for c in single.component_data_objects(pyo.Constraint, active=True)}
    assert "lower.epigraph_rows[0,1]" in names


def test_uniqueness_is_that_of_the_followers_own_variables():
    result = solve(weighted(), "kkt", attitude="pessimistic", time_limit=20)
    assert result.verdict == "certified_global"
    assert Response(weighted())(np.array([0.0])).proved


def test_a_kink_that_the_bounds_keep_out_of_reach_is_none():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.lower = LowerLevel()
    y = model.lower.y = pyo.Var(bounds=(0, 20))
    model.lower.obj = pyo.Objective(expr=(y - 3) ** 2 + model.x * abs(y))
    model.obj = pyo.Objective(expr=(model.x - 2) ** 2 + (y - 4) ** 2)
    result = solve(model, "kkt", time_limit=20)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(3.2, abs=1e-6)  # y = 3 - x/2, so F = 1.25 x^2 - 3 x + 5
