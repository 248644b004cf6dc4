"""Support vectors, tubes, absolute values and quantiles over rows: one engine, whichever way they are written."""

from __future__ import annotations

import hinge_models as hm
import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, registry
from bilevel.contracts.engine import Engine
from bilevel.errors import ModelError
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.programs.hinges.forces import ForcesAt, lower_bound
from bilevel.programs.hinges.recognition import hinge_form
from bilevel.reading.problem import Problem


def program_of(model):
    return Compilation.of(Problem.read(model)).programs["lower"]


@pytest.mark.parametrize("ridge", [1.0, 0.0])
@pytest.mark.parametrize("way", hm.WAYS)
def test_every_way_of_writing_it_has_the_best_f_of_other_engines(way, ridge):
    program = program_of(hm.written(way, ridge=ridge))
    ours = registry.get(Engine, "hinges")().prepare(program)
    other = registry.get(Engine, "highs" if program.shape == "linear" else "daqp")().prepare(program)
    for x in ([0.3, 0.1], [20.0, 0.4], [2e-3, 0.0]):
        x = np.array(x)
        answer, wanted = ours(x), other(x)
        assert answer.status is Status.OPTIMAL
        assert program.violation(x, answer.y) < 1e-9
        assert answer.objective == pytest.approx(float(program.evaluate(x, answer.y)[0][0]), rel=1e-10, abs=1e-12)
        if wanted.status is Status.OPTIMAL:  # DAQP does not always come to an end on a singular Hessian
            assert answer.objective == pytest.approx(wanted.objective, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("way", hm.WAYS)
def test_the_dual_says_that_the_answer_is_the_best(way):
    program = program_of(hm.written(way))
    form = hinge_form(program)
    forces, solver = ForcesAt(form), registry.get(Engine, "hinges")().prepare(program)
    for x in ([0.3, 0.1], [20.0, 0.4]):
        x = np.array(x)
        weights, answer = form.at(x), solver(x)
        w = form.coefficients(answer.y)
        gap = form.objective(weights, w) - lower_bound(form, weights, forces(weights, w))
        assert abs(gap) < 1e-9 * max(1.0, abs(answer.objective))
        elsewhere = w + 0.01
        assert lower_bound(form, weights, forces(weights, elsewhere)) <= answer.objective + 1e-9


@pytest.mark.parametrize("way", hm.WAYS)
def test_gradients_are_those_of_differences(way):
    response = bilevel.Response(hm.written(way, seed=2))
    x, h = np.array([0.07, 0.12]), 1e-6
    gradient = response.gradient(x)
    assert gradient.smooth
    for k in range(2):
        step = h * np.eye(2)[k]
        difference = (response(x + step).cost - response(x - step).cost) / (2.0 * h)
        assert gradient.value[k] == pytest.approx(difference, rel=1e-4, abs=1e-6)


def test_a_slack_in_f_moves_its_gradient():
    model = hm.written("tube", seed=3)
    model.obj.deactivate()
    model.judged = pyo.Objective(expr=sum((k + 1) * model.lower.s[k] for k in range(40)) + model.lower.w[0] ** 2)
    response = bilevel.Response(model)
    x, h = np.array([0.07, 0.12]), 1e-6
    value = response.gradient(x).value
    differences = [(response(x + h * e).cost - response(x - h * e).cost) / (2.0 * h) for e in np.eye(2)]
    assert np.abs(value - differences).max() < 1e-4 * np.abs(value).max()


def test_a_start_nearby_gives_the_same_answer():
    program = program_of(hm.written("machine", n=80, p=5))
    solver = registry.get(Engine, "hinges")().prepare(program)
    near = solver(np.array([0.3, 0.1])).y
    for cost in (0.303, 0.29, 5.0):
        x = np.array([cost, 0.1])
        assert np.abs(solver(x, near).y - solver(x).y).max() < 1e-9


def test_constraints_on_the_coefficients_alone_are_kept():
    model = hm.written("absolute", n=61)
    model.lower.w[0].setlb(-0.1)
    model.lower.w[1].setub(0.05)
    model.lower.together = pyo.Constraint(expr=model.lower.w[0] + model.lower.w[2] <= 0.1)
    program = program_of(model)
    ours, other = (registry.get(Engine, name)().prepare(program) for name in ("hinges", "daqp"))
    x = np.array([1.0, 0.1])
    assert hinge_form(program) is not None
    assert np.abs(ours(x).y[:4] - other(x).y[:4]).max() < 1e-7


def test_weights_per_row_are_upper_variables():
    X, y = hm.rows(60, 3, classes=True)
    model = pyo.ConcreteModel()
    model.cost = pyo.Var(range(60), bounds=(0.0, 1.0), initialize=0.2)
    model.lower = lower = LowerLevel()
    lower.w = pyo.Var(range(4), initialize=0.0)
    lower.s = pyo.Var(range(60), bounds=(0, None), initialize=0.0)
    z = [sum(float(a) * lower.w[j] for j, a in enumerate(row)) for row in X]
    lower.rows = pyo.Constraint(range(60), rule=lambda b, i: float(y[i]) * z[i] >= 1.0 - b.s[i])
    paid = sum(model.cost[i] * lower.s[i] for i in range(60))
    lower.obj = pyo.Objective(expr=0.5 * sum(lower.w[j] ** 2 for j in range(3)) + paid)
    model.obj = pyo.Objective(expr=sum((z[i] - 0.5 * float(y[i])) ** 2 for i in range(60)))
    response = bilevel.Response(model)
    x = np.random.default_rng(0).uniform(0.05, 0.3, size=60)
    value = response.gradient(x).value
    assert response.engines == {"lower": "hinges"}
    for k in (10, 11, 30):
        step = 1e-6 * np.eye(60)[k]
        difference = (response(x + step).cost - response(x - step).cost) / 2e-6
        assert value[k] == pytest.approx(difference, rel=1e-4, abs=1e-6)


def test_an_intercept_that_is_not_the_only_one_is_the_leaders_choice():
    """Far from all margins the cost is so small that every row pulls with all it has: b moves freely in between."""
    model = hm.written("machine", n=40, seed=1)
    response = bilevel.Response(model)
    program = program_of(model)
    solver = registry.get(Engine, "hinges")().prepare(program)
    found = [solver(np.array([cost, 0.1])) for cost in np.geomspace(1e-3, 1e-2, 6)]
    for answer, cost in zip(found, np.geomspace(1e-3, 1e-2, 6), strict=True):
        reply = response(np.array([cost, 0.1]))
        assert reply.status is Status.OPTIMAL
        assert reply.cost <= float(response._leader(np.array([cost, 0.1]), answer.y)[0]) + 1e-9


def test_a_run_is_verified_without_another_engine():
    result = bilevel.solve(hm.written("machine", n=60), "gradient", budget=25, seed=1)
    assert str(result.verdict) == "best_found"
    assert abs(result.bilevel_gap) < 1e-9


@pytest.mark.parametrize("count", [5, 19])
def test_few_rows_are_a_quadratic_program_like_others(count):
    assert hinge_form(program_of(hm.written("machine", n=count))) is None


ROWS = (("hinge", {}), ("pinball", {"quantile": 0.8}), ("epsilon_insensitive", {"epsilon": 0.2}))


def of_rows(loss, arguments, n, p):
    X, y = hm.rows(n, p, classes=loss == "hinge")
    model = pyo.ConcreteModel()
    model.cost = pyo.Var(bounds=(1e-3, 50.0), initialize=0.3)
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(p + 1), initialize=0.0)
    w = model.lower.w
    ridge = 0.5 * sum(w[j] ** 2 for j in range(p))
    model.lower.obj = pyo.Objective(expr=ridge + model.cost * bilevel.rows_of(loss, X, w, y, **arguments))
    model.obj = pyo.Objective(expr=sum((w[j] - 0.1) ** 2 for j in w))
    return model


@pytest.mark.parametrize(("loss", "arguments"), ROWS)
def test_many_rows_stay_arrays_and_answer_as_few_do(loss, arguments, monkeypatch):
    x = np.array([0.4])
    with monkeypatch.context() as patched:
        patched.setattr("bilevel.language.row_losses._LARGEST_EXPRESSION", 10)
        patched.setattr("bilevel.expressions.row_terms.SMALLEST", 10)
        patched.setattr("bilevel.programs.compilation.FEWEST_NUMBERS", 10)
        arrays = bilevel.Response(of_rows(loss, arguments, 60, 3))
        program = arrays.programs["lower"]
        assert program.losses
        assert program.n == 4
        reply, gradient = arrays(x), arrays.gradient(x)
    written = bilevel.Response(of_rows(loss, arguments, 60, 3))
    assert written.programs["lower"].n > 60
    assert reply.y[:4] == pytest.approx(written(x).y[:4], abs=1e-9)
    assert gradient.value == pytest.approx(written.gradient(x).value, abs=1e-8)
    difference = (written(x + 1e-6).cost - written(x - 1e-6).cost) / 2e-6
    assert gradient.value[0] == pytest.approx(difference, rel=1e-4, abs=1e-7)


def test_a_run_over_many_rows_is_verified_by_their_dual():
    model = of_rows("hinge", {}, 1500, 15)
    result = bilevel.solve(model, "gradient", budget=8, seed=0)
    assert str(result.verdict) == "best_found"
    assert abs(result.bilevel_gap) < 1e-9


@pytest.mark.parametrize(("loss", "arguments"), ROWS)
def test_a_loss_is_the_largest_of_its_lines(loss, arguments):
    X, y = hm.rows(30, 2, classes=loss == "hinge")
    w = np.array([0.3, -1.0, 0.2])
    model = pyo.ConcreteModel()
    model.w = pyo.Var(range(3))
    for j in range(3):
        model.w[j].set_value(w[j])
    term = bilevel.rows_of(loss, X, model.w, y, **arguments)
    wanted = {
        "hinge": np.maximum(0.0, 1.0 - y * (X @ w)),
        "pinball": np.maximum(0.8 * (y - X @ w), -0.2 * (y - X @ w)),
        "epsilon_insensitive": np.maximum(0.0, np.abs(y - X @ w) - 0.2),
    }[loss]
    assert pyo.value(term) == pytest.approx(wanted.sum(), rel=1e-12)
    assert term.at(w) == pytest.approx(wanted.sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "arguments"), [("pinball", {"quantile": 1.0}), ("epsilon_insensitive", {"epsilon": -1})]
)
def test_widths_and_quantiles_that_are_none_are_refused(loss, arguments):
    with pytest.raises(ModelError, match=loss):
        of_rows(loss, arguments, 30, 2)
