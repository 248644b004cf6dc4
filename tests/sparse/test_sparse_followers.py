"""Large followers with few nonzeros answer, and are differentiated, as their dense copies are."""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy.sparse.linalg import lsqr
from structures import KINDS, SHAPES, model_of

import bilevel
from bilevel import LowerLevel, Response
from bilevel.contracts.search import Search
from bilevel.programs import program
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.sparse_form import SparseForm
from bilevel.reading.problem import Problem
from bilevel.registry import get
from bilevel.response.answering import Answering
from bilevel.sensitivity.second_order import SecondOrder
from bilevel.solvers.loop.granted_gradients import Gradients, granted

SIZE = 180
XS = [np.array([1.0, 0.7]), np.array([0.2, 2.5])]
FIRST = {"free": "sparse_system", "tied": "sparse_system", "rows": "piqp", "bounds": "piqp"}


def dense(monkeypatch, build):
    """What is built while nothing is taken for sparse."""
    with monkeypatch.context() as patch:
        patch.setattr(program, "SPARSE_FROM", math.inf)
        return build()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_answers_and_gradients_are_those_of_the_dense_path(shape, kind, monkeypatch):
    def ask():
        response = Response(model_of(shape, kind, SIZE))
        return response, [response(x) for x in XS], [response.gradient(x) for x in XS]

    sparse, replies, gradients = ask()
    other, known, slopes = dense(monkeypatch, ask)
    assert sparse.engines["lower"] == ("components" if (shape, kind) == ("blocks", "bounds") else FIRST[kind])
    assert isinstance(numeric_form(sparse.programs["lower"]), SparseForm)
    assert not isinstance(numeric_form(other.programs["lower"]), SparseForm)
    for a, b, g, h in zip(replies, known, gradients, slopes, strict=True):
        assert a.status is b.status is Status.OPTIMAL
        assert a.proved
        np.testing.assert_allclose(a.y, b.y, rtol=1e-8, atol=1e-8)
        assert a.lower[0] == pytest.approx(b.lower[0], rel=1e-10)
        assert g.smooth
        assert h.smooth
        np.testing.assert_allclose(g.value, h.value, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_central_differences(shape, kind):
    response = Response(model_of(shape, kind, 300, seed=1))
    x, step = np.array([0.8, 1.3]), 1e-5
    found = response.gradient(x)
    assert found.smooth
    ends = [[response(x + sign * step * e).cost for sign in (1, -1)] for e in np.eye(2)]
    np.testing.assert_allclose(found.value, [(a - b) / (2 * step) for a, b in ends], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["free", "tied"])
@pytest.mark.parametrize("shape", SHAPES)
def test_large_answers_are_stationary(shape, kind):
    response = Response(model_of(shape, kind, 1000))
    reply = response(XS[1])
    form = numeric_form(response.programs["lower"]).at(XS[1])
    slope = form.hessian @ reply.y + form.gradient
    if kind == "tied":
        assert np.abs(form.matrix @ reply.y + form.offset - response.programs["lower"].row_lower).max() <= 1e-9
        slope = slope + form.matrix.T @ lsqr(form.matrix.T, -slope, atol=1e-15, btol=1e-15)[0]
    assert np.abs(slope).max() <= 1e-8


@pytest.mark.parametrize("kind", ["rows", "bounds"])
def test_large_answers_with_inequalities_meet_the_conditions(kind):
    response = Response(model_of("banded", kind, 700))
    reply = response(XS[0])
    follower = response.programs["lower"]
    form = numeric_form(follower).at(XS[0])
    assert follower.violation(XS[0], reply.y) <= 1e-9
    rows, slope = form.matrix @ reply.y + form.offset, form.hessian @ reply.y + form.gradient
    on = {
        side: np.flatnonzero(np.abs(rows - end) <= 1e-9)
        for side, end in ((1, follower.row_upper), (-1, follower.row_lower))
    }
    held = [(reply.y >= follower.upper - 1e-9, 1), (reply.y <= follower.lower + 1e-9, -1)]
    free = ~(held[0][0] | held[1][0])
    active = np.union1d(on[1], on[-1])
    weights = lsqr(form.matrix[active][:, np.flatnonzero(free)].T, -slope[free], atol=1e-15, btol=1e-15)[0]
    rest = slope + form.matrix[active].T @ weights
    assert np.abs(rest[free]).max() <= 1e-7
    for where, sign in held:
        assert (sign * rest[where] <= 1e-7).all()
    signs = weights * np.where(follower.equality[active], 0.0, np.where(np.isin(active, on[1]), 1.0, -1.0))
    assert (signs >= -1e-7).all()


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_alike_whatever_was_solved_before(kind):
    """To the last bit: a stored run that goes on in a new process has to repeat itself."""
    points = np.random.default_rng(0).uniform(0.1, 3.0, (12, 2))
    forth, back = (Response(model_of("banded", kind, SIZE), warm=False) for _ in range(2))
    first, second = [forth(x).y for x in points], [back(x).y for x in points[::-1]][::-1]
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", KINDS)
def test_units_do_not_matter(kind):
    units = 10.0 ** np.random.default_rng(3).integers(-4, 5, SIZE)
    usual, other = (Response(model_of("banded", kind, SIZE, units=u))(XS[0]) for u in (1.0, units))
    assert usual.status is other.status is Status.OPTIMAL
    np.testing.assert_allclose(other.y / units, usual.y, rtol=1e-7, atol=1e-7)


# ------------------------------------------------------------------------------------------------------- outcomes


def plain(objective, rows=(), bounds=(None, None), n=SIZE):
    """A follower given by functions of (y, x)."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-2, 2), initialize=0.0)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(range(n), bounds=bounds)
    m.lower.rows = pyo.ConstraintList()
    for row in rows:
        m.lower.rows.add(row(m.lower.y, m.x))
    m.lower.obj = pyo.Objective(expr=objective(m.lower.y, m.x))
    m.obj = pyo.Objective(expr=m.lower.y[0] + m.lower.y[n - 1] + m.x)
    compilation = Compilation.of(Problem.read(m))
    assert compilation.programs["lower"].sparse
    return Answering(compilation.programs["lower"])


def squares(y, x):
    return sum((y[k] - 1) ** 2 for k in range(len(y)))


def differences(y, x):
    return sum((y[k + 1] - y[k]) ** 2 for k in range(len(y) - 1))


def test_equalities_that_contradict_each_other():
    chain = [lambda y, x, k=k: y[k] + y[k + 1] == 1 for k in range(20)]
    answering = plain(squares, [*chain, lambda y, x: sum(y[k] * (-1) ** k for k in range(21)) == 1 - x, *chain[:1]])
    assert answering(np.array([0.3])).status is Status.OPTIMAL
    answering = plain(squares, [*chain, lambda y, x: y[0] - y[20] == x])
    assert answering(np.array([0.0])).status is Status.OPTIMAL
    broken = answering(np.array([0.5]))
    assert broken.status is Status.INFEASIBLE
    assert "contradict" in broken.message


def test_dependent_equalities_do_no_harm():
    answering = plain(squares, [lambda y, x: y[0] + y[1] == x, lambda y, x: 2 * y[0] + 2 * y[1] == 2 * x])
    answer = answering(np.array([1.0]))
    assert answer.unique
    assert answer.y[:3] == pytest.approx([0.5, 0.5, 1.0])


def test_a_hessian_that_moves_through_zero():
    answering = plain(lambda y, x: x * squares(y, x) + 0.1 * y[0])
    assert answering(np.array([1.0])).status is Status.OPTIMAL
    assert answering(np.array([-1.0])).status is Status.UNBOUNDED
    assert answering(np.array([1.0])).y[1] == pytest.approx(1.0)


def test_a_singular_hessian():
    """Differences alone say nothing of the level."""
    answer = plain(differences)(np.array([0.0]))
    assert answer.status is Status.OPTIMAL
    assert answer.objective == pytest.approx(0.0, abs=1e-9)
    assert not answer.unique
    assert plain(lambda y, x: differences(y, x) + y[3])(np.array([0.0])).status is Status.UNBOUNDED
    tied = plain(differences, [lambda y, x: y[0] == x, lambda y, x: y[SIZE - 1] == 1])(np.array([0.5]))
    assert tied.unique
    assert tied.y == pytest.approx(np.linspace(0.5, 1.0, SIZE), abs=1e-8)


def test_variables_without_curvature():
    """What only rows hold: z = y0 + y1, |y_k - 1| <= s_k."""
    rows = [lambda y, x: y[2] == y[0] + y[1]]
    bent = lambda y, x: sum((y[k] - 1) ** 2 for k in range(SIZE) if k != 2)  # noqa: E731
    answer = plain(bent, rows)(np.array([0.0]))
    assert answer.unique
    assert answer.y[:4] == pytest.approx([1.0, 1.0, 2.0, 1.0])
    answer = plain(lambda y, x: bent(y, x) + 0.1 * y[2], [lambda y, x: y[2] >= y[0] + y[1]])(np.array([0.0]))
    assert answer.y[:3] == pytest.approx([0.95, 0.95, 1.9])


def test_inequalities_that_contradict_each_other():
    answering = plain(squares, [lambda y, x: y[0] + y[1] <= x, lambda y, x: y[0] + y[1] >= 1])
    assert answering(np.array([1.5])).status is Status.OPTIMAL
    assert answering(np.array([0.5])).status is Status.INFEASIBLE
    answering = plain(squares, [lambda y, x: sum(y[k] for k in range(9)) >= 9.5 + x], bounds=(0, 1))
    assert answering(np.array([-1.0])).status is Status.OPTIMAL
    assert answering(np.array([0.0])).status is Status.INFEASIBLE


def test_an_inequality_program_without_end():
    assert plain(lambda y, x: differences(y, x) - y[0], bounds=(0, None))(np.zeros(1)).status is Status.UNBOUNDED


def test_fixed_variables_and_optima_on_all_bounds():
    m = model_of("banded", "bounds", SIZE)
    for k in range(0, SIZE, 9):
        m.lower.y[k].setlb(0.25)
        m.lower.y[k].setub(0.25)
    response = Response(m)
    reply = response(XS[0])
    assert reply.y[::9] == pytest.approx(0.25)
    assert response.gradient(XS[0]).smooth
    answer = plain(lambda y, x: squares(y, x), bounds=(-1, 0.5))(np.zeros(1))
    assert answer.y == pytest.approx(0.5, abs=1e-12)


def test_the_optimum_where_a_bound_is_just_touched():
    """A weakly active bound: zero multiplier, and still an exact answer."""
    answer = plain(lambda y, x: squares(y, x), bounds=(None, 1.0))(np.zeros(1))
    assert answer.unique
    assert answer.y == pytest.approx(1.0, abs=1e-8)


def test_data_that_are_no_numbers():
    answering = plain(lambda y, x: squares(y, x) / x)
    assert answering(np.array([0.0])).status is Status.FAILED
    assert answering(np.array([1.0])).status is Status.OPTIMAL


# ------------------------------------------------------------------------------------------ derivatives and paths


@pytest.mark.parametrize("bounds", [(None, None), (0.1, None)])
def test_nonlinear_followers(bounds, monkeypatch):
    def ask():
        m = model_of("banded", "free", SIZE)
        y = m.lower.y
        m.lower.del_component(m.lower.obj)
        smooth = sum(pyo.exp(y[k] - m.x[1] * (k % 2)) - y[k] for k in range(SIZE))
        m.lower.obj = pyo.Objective(expr=smooth + m.x[0] * differences(y, None))
        for k in range(SIZE):
            y[k].setlb(bounds[0])
        response = Response(m)
        return response.programs["lower"].sparse, response(XS[0]), response.gradient(XS[0])

    flag, reply, found = ask()
    other, known, slope = dense(monkeypatch, ask)
    assert flag
    assert not other
    assert reply.proved
    np.testing.assert_allclose(reply.y, known.y, atol=1e-6)
    assert found.smooth == slope.smooth
    np.testing.assert_allclose(found.value, slope.value, rtol=1e-4, atol=1e-6)


def test_as_many_penalties_as_variables():
    """Nothing is of the size of variables times upper variables."""
    n = 400
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(n), bounds=(0.1, 5.0), initialize=1.0)
    m.lower = LowerLevel()
    y = m.lower.y = pyo.Var(range(n))
    m.lower.obj = pyo.Objective(
        expr=sum((y[k] - k % 7) ** 2 for k in y) + sum(m.x[k] * (y[k] - y[k - 1]) ** 2 for k in y if k) + m.x[0] * y[0]
    )
    m.cap = pyo.Constraint(expr=y[0] + y[5] <= 4)
    m.obj = pyo.Objective(expr=sum((y[k] - 3) ** 2 for k in y) / n)
    response = Response(m)
    x = np.linspace(0.5, 2.0, n)
    found, step = response.gradient(x), 1e-5
    for k in (0, 6, n - 1):
        e = step * np.eye(n)[k]
        assert found.value[k] == pytest.approx((response(x + e).cost - response(x - e).cost) / (2 * step), abs=1e-8)
    assert found.jacobian.shape == (1, n)


def test_rows_that_move_and_are_sparse(monkeypatch):
    """An autoregression: its squares are no dense regression on features."""

    def ask():
        m = pyo.ConcreteModel()
        m.x = pyo.Var([0, 1], bounds=(0.1, 0.9), initialize=0.5)
        m.lower = LowerLevel()
        y = m.lower.y = pyo.Var(range(300))
        drift = sum((y[k] - m.x[0] * y[k - 1] - m.x[1]) ** 2 for k in y if k)
        m.lower.obj = pyo.Objective(expr=drift + sum((y[k] - k % 7) ** 2 for k in y if k % 3 == 0))
        m.obj = pyo.Objective(expr=sum((y[k] - k % 7) ** 2 for k in y))
        response = Response(m)
        return response.programs["lower"], response(np.array([0.4, 0.3])), response.gradient(np.array([0.4, 0.3]))

    follower, reply, found = ask()
    _, known, slope = dense(monkeypatch, ask)
    assert follower.sparse
    np.testing.assert_allclose(reply.y, known.y, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.value, slope.value, rtol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_products_with_the_second_derivative(shape):
    problem = Problem.read(model_of(shape, "free", SIZE))
    compilation = Compilation.of(problem)
    response, x, d = Response(problem), np.array([0.9, 1.1]), np.array([0.6, -0.8])
    product = SecondOrder(compilation)(x, response(x).y)
    ahead, behind = (response.gradient(x + sign * 1e-5 * d).value for sign in (1, -1))
    np.testing.assert_allclose(product(d), (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-7)


def test_searches_are_given_gradients_of_large_sparse_followers():
    search = type("Asking", (), {"uses_gradients": False, "welcomes_gradients": True})
    assert issubclass(get(Search, "gp"), Search)
    for kind, n in (("free", 1010), ("rows", 310)):  # more than a dense adjoint system is worth
        assert granted(search, Compilation.of(Problem.read(model_of("banded", kind, n)))) is Gradients.SMOOTH


def test_auto_leaves_very_many_inequalities_to_a_search():
    result = bilevel.solve(model_of("banded", "rows", 1100), method="auto", budget=3, seed=1)
    assert result.verdict == "best_found"
    assert any("complementarity pairs" in note for note in result.notes)


@pytest.mark.parametrize("kind", ["free", "tied", "rows"])
def test_a_search_ends_with_a_verified_point(kind):
    result = bilevel.solve(model_of("banded", kind, 250), method="gradient", budget=12, seed=1)
    assert result.verdict == "best_found"
    assert result.bilevel_gap <= 1e-8
    assert result.lower_violation <= 1e-8
