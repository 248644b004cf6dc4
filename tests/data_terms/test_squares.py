"""Squared distances that stay numbers: the same answers, gradients and derivatives as written out in symbols."""

import pickle

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest
from cases import CASES, P, assert_same_function, create, data

import bilevel.expressions.squares
from bilevel import LowerLevel, Response, least_squares
from bilevel.language.squared_distance import SquaredDistance
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.sensitivity.hypergradient import Hypergradient

POINTS = [np.array([0.5, 1.0, 0.3]), np.array([2.0, 0.1, 1.5]), np.array([0.1, 0.7, 2.0])]


def plain(monkeypatch, **settings):
    """The same model compiled with every square written out."""
    with monkeypatch.context() as patch:
        patch.setattr("bilevel.programs.compilation.SMALLEST", 10**9)
        response = Response(create(**settings))
    assert not response.compilation.squares
    return response


@pytest.mark.parametrize("name", CASES)
def test_answers_are_those_of_the_symbols(name, monkeypatch):
    kept, written = Response(create(**CASES[name])), plain(monkeypatch, **CASES[name])
    assert len(kept.programs["lower"].squares) == 1
    for x in POINTS:
        ours, theirs = kept(x), written(x)
        assert ours.status is theirs.status
        np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-9, atol=1e-11)
        assert ours.cost == pytest.approx(theirs.cost, rel=1e-10)
        assert ours.lower[0] == pytest.approx(theirs.lower[0], rel=1e-9)
        assert ours.violation == theirs.violation


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_symbols(name, monkeypatch):
    kept, written = Response(create(**CASES[name])), plain(monkeypatch, **CASES[name])
    ours, theirs = Hypergradient(kept.compilation), Hypergradient(written.compilation)
    for x in POINTS:
        y = kept(x).y
        np.testing.assert_allclose(ours(x, y).value, theirs(x, y).value, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("count", [1, 4])
def test_coupling_derivatives_are_those_of_the_symbols(name, count, monkeypatch):
    def coupled(**settings):
        model = create(**settings)
        w = model.lower.w
        rows = [sum(w[j] ** 2 for j in w) <= 50, w[0] * model.x[1] <= 50, w[1] + w[2] >= -50, w[5] >= -50]
        model.coupling = pyo.ConstraintList(rule=rows[:count])
        return model

    kept = Response(coupled(**CASES[name]))
    with monkeypatch.context() as patch:
        patch.setattr("bilevel.programs.compilation.SMALLEST", 10**9)
        written = Response(coupled(**CASES[name]))
    assert kept.compilation.squares
    assert not written.compilation.squares
    ours, theirs = Hypergradient(kept.compilation), Hypergradient(written.compilation)
    for x in POINTS:
        y = kept(x).y
        np.testing.assert_allclose(ours(x, y).value, theirs(x, y).value, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(ours(x, y).jacobian, theirs(x, y).jacobian, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(ours(x, y).jacobian[0], _differences(kept, x), rtol=1e-4, atol=1e-6)


def _differences(response, x, h=1e-5):
    """Of the sum of squared coefficients."""
    return [(np.sum(response(x + step).y ** 2) - np.sum(response(x - step).y ** 2)) / (2 * h) for step in h * np.eye(3)]


@pytest.mark.parametrize("name", CASES)
def test_the_program_in_symbols_is_the_same_function(name, monkeypatch):
    kept, written = Response(create(**CASES[name])).programs["lower"], plain(monkeypatch, **CASES[name])
    written = written.programs["lower"]
    rng = np.random.default_rng(3)
    for x in POINTS:
        y = rng.standard_normal(P)
        assert_same_function(kept, written, x, y)


@pytest.mark.parametrize(
    "below",
    [
        lambda m, w, square: pyo.sqrt(square) + sum(w[j] ** 2 for j in range(P)) * m.x[0],
        lambda m, w, square: w[0] * square + m.x[0],
        lambda m, w, square: square**2 + m.x[0],
    ],
    ids=["root", "times_own", "power"],
)
def test_what_is_no_weighed_sum_of_squares_is_written_out(below):
    program = Compilation(Problem.read(create(below=below))).programs["lower"]
    assert program.squares == ()
    ca.Function("f", [program.parameters, program.variables], [program.objective])  # no symbol is left over


def test_a_square_in_a_coupling_row_is_written_out():
    m = create()
    X, y, _, _ = data()
    m.fit = pyo.Constraint(expr=least_squares(X, y, m.lower.w) <= 70.0)
    reply = Response(m)(POINTS[0])
    body = float(np.sum((X @ reply.y - y) ** 2))
    assert reply.violation == pytest.approx(max(0.0, body - 70.0) / 70.0, rel=1e-9)


def test_against_normal_equations():
    X, y, V, v = data()
    x = POINTS[1]
    w = np.linalg.solve(X.T @ X / 80 + np.diag([x[j % 3] for j in range(P)]), X.T @ y / 80)
    reply = Response(create())(x)
    np.testing.assert_allclose(reply.y, w, rtol=1e-10)
    assert reply.cost == pytest.approx(np.sum((V @ w - v) ** 2) / len(v) + 0.1 * x[0] ** 2, rel=1e-12)


def test_nobody_writes_the_squares_out_on_the_way(monkeypatch):
    def fail(self):
        raise AssertionError("written out")

    monkeypatch.setattr(SquaredDistance, "written_out", fail)
    monkeypatch.setattr(bilevel.expressions.squares, "in_symbols", fail)
    result = bilevel.solve(create(), method="gradient", budget=12)
    assert result.verdict == "best_found"
    assert result.bilevel_gap <= 1e-6


def test_clones_share_the_numbers_and_have_their_own_variables():
    m = create()
    other = m.clone()
    ours, theirs = m.obj.expr.arg(0).arg(0), other.obj.expr.arg(0).arg(0)
    nodes = [node if isinstance(node, SquaredDistance) else node.arg(0) for node in (ours, theirs)]
    assert nodes[0].factor is nodes[1].factor
    assert nodes[1].coefficients[0] is other.lower.w[0]
    assert Response(other)(POINTS[0]).cost == Response(m)(POINTS[0]).cost
    assert Response(pickle.loads(pickle.dumps(m)))(POINTS[0]).cost == Response(m)(POINTS[0]).cost
    assert not any(node.is_written_out for node in nodes)


def test_pyomo_sees_an_ordinary_expression():
    m = pyo.ConcreteModel()
    m.w = pyo.Var(range(P), initialize=0.3)
    X, y, _, _ = data()
    m.obj = pyo.Objective(expr=least_squares(X, y, m.w) + m.w[0])
    assert pyo.value(m.obj) == pytest.approx(np.sum((0.3 * X.sum(axis=1) - y) ** 2) + 0.3)
    assert m.obj.expr.polynomial_degree() == 2
    pyo.SolverFactory("highs").solve(m)
    best = np.linalg.solve(2 * X.T @ X, 2 * X.T @ y - np.eye(P)[0])
    np.testing.assert_allclose([m.w[j].value for j in range(P)], best, atol=1e-6)


def test_a_memory_map_is_read_in_chunks(tmp_path, monkeypatch):
    X, y, _, _ = data()
    path = tmp_path / "X.bin"
    np.memmap(path, dtype="float32", mode="w+", shape=X.shape)[:] = X
    largest = []

    class Watched(np.memmap):
        def __getitem__(self, key):
            part = super().__getitem__(key)
            largest.append(np.shape(part)[0])
            return part

    mapped = Watched(path, dtype="float32", mode="r", shape=X.shape)
    monkeypatch.setattr("bilevel.language.formulas._rows_at_once", lambda columns: 32)
    m = pyo.ConcreteModel()
    m.w = pyo.Var(range(P), initialize=0.3)
    node = least_squares(mapped, y, m.w)
    assert largest
    assert max(largest) <= 32
    exact = np.sum((X.astype("float32").astype(float) @ np.full(P, 0.3) - y) ** 2)
    assert pyo.value(node) == pytest.approx(exact, rel=1e-12)


def test_the_factor_does_not_grow_with_the_rows():
    m = pyo.ConcreteModel()
    m.w = pyo.Var(range(4), initialize=0.0)
    for rows in (50, 5000):
        node = least_squares(np.random.default_rng(0).standard_normal((rows, 4)), np.ones(rows), m.w)
        assert node.factor.matrix.shape == (5, 4)


def test_badly_scaled_columns_keep_their_digits():
    """A Gram matrix would lose all digits of the residual: 1e8 squared is 1e16."""
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(2000), 1e8 + rng.standard_normal(2000)])
    w = np.array([-1e8, 1.0])
    m = pyo.ConcreteModel()
    m.w = pyo.Var(range(2))
    m.w[0].value, m.w[1].value = w
    assert pyo.value(least_squares(X, np.zeros(2000), m.w)) == pytest.approx(np.sum((X @ w) ** 2), rel=1e-6)


def test_several_followers_and_shuffled_coefficients():
    X, y, V, v = data()
    order = list(np.random.default_rng(0).permutation(P))
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0.1, 1.0), initialize=0.5)
    m.fold = LowerLevel([0, 1])
    for k in (0, 1):
        m.fold[k].w = pyo.Var(range(P))
        w = m.fold[k].w
        fit = least_squares(X[k::2], y[k::2], [w[j] for j in order])
        m.fold[k].obj = pyo.Objective(expr=fit + (k + 1) * m.x * sum(w[j] ** 2 for j in w))
    m.obj = pyo.Objective(expr=sum(least_squares(V, v, [m.fold[k].w[j] for j in order]) for k in (0, 1)))
    cost = 0.0
    for k in (0, 1):
        A = X[k::2]
        w = np.linalg.solve(A.T @ A + (k + 1) * 0.7 * np.eye(P), A.T @ y[k::2])
        cost += np.sum((V @ w - v) ** 2)
    assert Response(m)(np.array([0.7])).cost == pytest.approx(cost, rel=1e-10)


def test_one_solve_compiles_once(monkeypatch):
    made = []
    first = Compilation.__init__

    def counted(self, problem):
        made.append(problem)
        first(self, problem)

    monkeypatch.setattr(Compilation, "__init__", counted)
    for method in ("random", "kkt", "auto"):
        made.clear()
        bilevel.solve(create_small(), method=method, budget=5)
        assert len(made) == 1, method


def create_small():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 10))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(bounds=(0, None))
    m.lower.obj = pyo.Objective(expr=(m.lower.y - m.x) ** 2)
    m.obj = pyo.Objective(expr=(m.lower.y - 3) ** 2 + m.x)
    return m
