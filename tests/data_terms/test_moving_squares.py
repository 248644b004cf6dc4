"""Regressions on features that the leader shapes: products of matrices in the place of a Hessian in symbols."""

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest
from cases import assert_same_function

import bilevel
from bilevel import LowerLevel, Response
from bilevel.expressions.sums_of_squares import taken_apart
from bilevel.programs.compilation import Compilation
from bilevel.programs.numeric_form import numeric_form
from bilevel.reading.problem import Problem
from bilevel.sensitivity.hypergradient import Hypergradient

ROWS, MOVING, STILL = 60, 3, 2
POINTS = [np.array([0.5, 1.0, 0.3]), np.array([2.0, 0.1, 1.5]), np.array([0.1, 0.7, 2.0])]


def errors(m, w, target=0.0):
    """Rows of three features that move with x and two that do not."""
    rng = np.random.default_rng(4)
    Z, t = rng.random((ROWS, MOVING + STILL)), rng.standard_normal(ROWS)
    for k in range(ROWS):
        shaped = sum(w[j] * pyo.exp(-m.x[j] * Z[k, j]) for j in range(MOVING))
        yield shaped + sum(w[j] * Z[k, j] for j in range(MOVING, MOVING + STILL)) - t[k] - target


def ridge(m, w, rows):
    return sum(r**2 for r in rows) / (2 * ROWS) + m.x[0] / 2 * sum(w[j] ** 2 for j in w)


def written_as_products(m, w, rows):
    return 0.5 * (sum(r * r for r in rows) / ROWS) + sum(0.1 * w[j] * w[j] for j in w)


def weighed_by_the_leader(m, w, rows):
    return (1 + m.x[1] ** 2) * (2 * sum(r**2 for r in rows)) / m.x[2] + sum(w[j] ** 2 for j in w) - m.x[2] * w[0]


def weighed_by_the_row(m, w, rows):
    return sum((1 + k % 3) * r**2 for k, r in enumerate(rows)) + sum(w[j] ** 2 for j in w)


def named(m, w, rows):
    m.lower.loss = pyo.Expression(range(ROWS), initialize=dict(enumerate(r**2 for r in rows)))
    m.lower.total = pyo.Expression(expr=sum(m.lower.loss[k] for k in range(ROWS)) / ROWS)
    return m.lower.total + m.x[0] * sum(w[j] ** 2 for j in w)


def subtracted(m, w, rows):
    return -(-sum(r**2 for r in rows) - sum(w[j] ** 2 for j in w)) + 3.0


def twice(m, w, rows):
    rows = list(rows)
    return m.x[0] * sum(r**2 for r in rows) + m.x[1] * sum((r + 1) ** 2 for r in rows) + sum(w[j] ** 2 for j in w)


CASES = {
    f.__name__: f
    for f in (ridge, written_as_products, weighed_by_the_leader, weighed_by_the_row, named, subtracted, twice)
}
SIDES = ("free", "bounded", "tied", "maximising", "target")


def create(below=ridge, side="free"):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(0.1, 2.0), initialize=0.5)
    m.lower = LowerLevel()
    m.lower.w = pyo.Var(range(MOVING + STILL), bounds=(-0.4, 0.4) if side == "bounded" else (None, None))
    w = m.lower.w
    objective = below(m, w, errors(m, w, m.x[1] ** 2 if side == "target" else 0.0))
    up = side == "maximising"
    m.lower.obj = pyo.Objective(expr=-objective if up else objective, sense=pyo.maximize if up else pyo.minimize)
    if side == "tied":
        m.lower.sum = pyo.Constraint(expr=sum(w[j] for j in w) == m.x[2])
    m.obj = pyo.Objective(expr=sum(r**2 for r in errors(m, w)) / ROWS + 0.1 * sum((w[j] - 0.3) ** 2 for j in w))
    return m


def both(monkeypatch, **settings):
    """Compiled with the squares kept, however few, and with all of them written out."""
    found = []
    for smallest in (1, 10**12):
        monkeypatch.setattr("bilevel.expressions.moving_squares.SMALLEST", smallest)
        found.append(Response(create(**settings)))
    kept, written = found
    assert kept.programs["lower"].moving
    assert not written.programs["lower"].moving
    return kept, written


@pytest.fixture(params=[*((name, "free") for name in CASES), *(("ridge", side) for side in SIDES[1:])], ids="-".join)
def pair(request, monkeypatch):
    name, side = request.param
    return both(monkeypatch, below=CASES[name], side=side)


def test_answers_are_those_of_the_symbols(pair):
    kept, written = pair
    for x in POINTS:
        ours, theirs = kept(x), written(x)
        np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-8, atol=1e-10)
        assert ours.cost == pytest.approx(theirs.cost, rel=1e-10)
        assert ours.lower[0] == pytest.approx(theirs.lower[0], rel=1e-9)
        assert ours.proved
        assert theirs.proved


def test_gradients_are_those_of_the_symbols(pair):
    kept, written = pair
    ours, theirs = Hypergradient(kept.compilation), Hypergradient(written.compilation)
    for x in POINTS:
        y = kept(x).y
        np.testing.assert_allclose(ours(x, y).value, theirs(x, y).value, rtol=1e-7, atol=1e-9)


def test_the_program_in_symbols_is_the_same_function(pair):
    kept, written = (response.programs["lower"] for response in pair)
    y = np.random.default_rng(3).standard_normal(kept.n)
    for x in POINTS:
        assert_same_function(kept, written, x, y)


def test_columns_that_stand_still_are_not_compiled(monkeypatch):
    monkeypatch.setattr("bilevel.expressions.moving_squares.SMALLEST", 1)
    (gram,) = numeric_form(Response(create()).programs["lower"])._grams
    assert gram.columns.shape == (ROWS, MOVING)


def test_a_feature_that_is_no_number_is_a_failed_point(monkeypatch):
    monkeypatch.setattr("bilevel.expressions.moving_squares.SMALLEST", 1)
    m = create()
    m.x[0].setlb(-1.0)
    m.lower.obj.deactivate()
    w = m.lower.w
    rows = (w[0] * pyo.log(m.x[0] + k) + w[1] * m.x[1] - 1.0 for k in range(ROWS))
    m.lower.rest = pyo.Objective(expr=sum(r**2 for r in rows) + sum(w[j] ** 2 for j in w))
    response = Response(m)
    assert response.programs["lower"].moving
    reply = response(np.array([-0.5, 1.0, 1.0]))
    assert reply.status == "failed"
    assert "no number" in reply.message
    assert response(POINTS[0]).status == "optimal"


@pytest.mark.parametrize(
    "below",
    [
        lambda m, w, rows: sum((r + w[0] * w[1]) ** 2 for r in rows) + sum(w[j] ** 4 for j in w),
        lambda m, w, rows: w[0] ** 2 * sum(r**2 for r in rows) + sum(w[j] ** 2 for j in w),
        lambda m, w, rows: sum((sum(w[j] * (j + k) for j in w) - m.x[0]) ** 2 for k in range(ROWS)),
        lambda m, w, rows: sum(r**4 for r in rows),
    ],
    ids=["rows that are not affine", "a weight with y", "a matrix that does not move", "fourth powers"],
)
def test_what_is_no_moving_square_is_left_as_it_is(below, monkeypatch):
    monkeypatch.setattr("bilevel.expressions.moving_squares.SMALLEST", 1)
    program = Compilation(Problem.read(create(below=below))).programs["lower"]
    assert program.moving == ()
    ca.Function("f", [program.parameters, program.variables], [program.objective])  # no symbol is left over


def test_taking_apart_loses_nothing():
    m = create()
    w, ids = m.lower.w, {id(v) for v in m.lower.w.values()}
    expression = 3 * m.x[0] * (w[0] - 2) ** 2 / 4 - (w[1] * w[1] + m.x[1] * (w[2] + 1) ** 2) + w[3] * w[4] - 5
    sums, others = taken_apart(expression, ids, 2.0)
    for k, v in enumerate([*m.x.values(), *w.values()]):
        v.value = 0.7 + 0.3 * k
    total = sum(term.number * _product(term.factors) * pyo.value(term.expression) for term in others)
    for found in sums:
        squares = sum(s * pyo.value(b) ** 2 for s, b in zip(found.scales, found.bases, strict=True))
        total += found.sign * _product(found.factors) * squares
    assert total == pytest.approx(2.0 * pyo.value(expression))
    assert sum(len(found.bases) for found in sums) == 3


def _product(factors):
    return float(np.prod([pyo.value(factor) ** power for factor, power in factors]))


@pytest.mark.parametrize("method", ["kkt", "rational", "gradient", "surrogate"])
def test_every_path_takes_it_as_it_takes_the_symbols(method, monkeypatch):
    found = []
    for smallest in (1, 10**12):
        monkeypatch.setattr("bilevel.expressions.moving_squares.SMALLEST", smallest)
        m = create()
        m.x[1].fix(0.5)
        m.x[2].fix(1.0)
        try:
            found.append(bilevel.solve(m, method=method, budget=15, time_limit=4))
        except bilevel.BilevelError as error:
            found.append(type(error).__name__)
    ours, theirs = found
    if isinstance(ours, str):
        assert ours == theirs
    else:
        assert ours.verdict == theirs.verdict
        assert ours.upper_objective == pytest.approx(theirs.upper_objective, rel=1e-6)
