"""The formula of quadratic programs without inequalities: dense numbers say the same, and it knows where it holds."""

from __future__ import annotations

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilevel import LowerLevel
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.solvers.engines.symbolic_ldl import closed_form


def program(H, c, A=None, b=None):
    """``min (1 + x) y'Hy / 2 + c'y + x  s.t.  A y = b + x``, nonzeros alone written down."""
    n = len(c)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-0.5, 2))
    model.lower = LowerLevel()
    y = model.lower.y = pyo.Var(range(n))
    curved = sum(H[i, j] * y[i] * y[j] for i, j in zip(*np.nonzero(H), strict=True))
    linear = sum(c[i] * y[i] for i in range(n))
    model.lower.obj = pyo.Objective(expr=0.5 * (1 + model.x) * curved + linear + model.x)
    if A is not None:
        rows = [sum(row[i] * y[i] for i in np.flatnonzero(row)) for row in A]
        model.lower.rows = pyo.Constraint(range(len(A)), rule=lambda _, k: rows[k] == b[k] + model.x)
    model.obj = pyo.Objective(expr=y[0] ** 2)
    return Compilation(Problem.read(model)).programs["lower"]


def at(form, compiled, x):
    """y, the objective and the margin at x."""
    values = ca.Function("f", [compiled.parameters], [form.y, form.objective, form.margin])([x])
    y, objective, margin = (np.array(value)[:, 0] for value in values)
    return y, objective[0], margin[0]


def banded(rng, n):
    D = np.diff(np.eye(n), 2, axis=0)
    return np.diag(rng.uniform(0.1, 2, n)) + 10.0 ** rng.uniform(-2, 2) * D.T @ D


def arrow(rng, n):
    H = np.diag(rng.uniform(1, 3, n))
    H[0, 1:] = H[1:, 0] = rng.uniform(-0.5, 0.5, n - 1)
    H[0, 0] = n
    return H


def blocks(rng, n):
    H, size = np.zeros((n, n)), 4
    for k in range(0, n, size):
        M = rng.standard_normal((size, size))[: n - k, : n - k]
        H[k : k + size, k : k + size] = M @ M.T + np.eye(len(M))
    return H


@given(
    shape=st.sampled_from([banded, arrow, blocks]),
    n=st.integers(3, 40),
    m=st.integers(0, 3),
    seed=st.integers(0, 2**31),
    x=st.floats(-0.4, 2),
)
@settings(max_examples=60, deadline=None)
def test_formula_solves_the_optimality_conditions(shape, n, m, seed, x):
    rng = np.random.default_rng(seed)
    m = min(m, n - 1)
    H, c = shape(rng, n), rng.standard_normal(n)
    A, b = rng.standard_normal((m, n)) * (rng.random((m, n)) < 0.6), rng.standard_normal(m)
    A[np.arange(m), np.arange(m)] = 3.0
    compiled = program(H, c, A, b) if m else program(H, c)
    y, objective, margin = at(closed_form(compiled), compiled, x)
    system = np.block([[(1 + x) * H, A.T], [A, np.zeros((m, m))]])
    exact = np.linalg.solve(system, np.concatenate([-c, b + x]))[:n]
    assert margin > 0
    np.testing.assert_allclose(y, exact, atol=1e-8 * max(1.0, np.abs(exact).max()))
    value = 0.5 * (1 + x) * exact @ H @ exact + c @ exact  # the term in x alone is none of what the follower goes by
    assert objective == pytest.approx(value, rel=1e-8, abs=1e-8)


def test_a_thousand_variables_are_a_few_operations_each():
    """In the dense order an arrow fills up; the formula of an ordered one grows with n."""
    rng = np.random.default_rng(1)
    sizes = []
    for n in (100, 200, 400):
        compiled = program(arrow(rng, n), np.ones(n))
        form = closed_form(compiled)
        sizes.append(ca.Function("f", [compiled.parameters], [form.y]).n_instructions() / n)
    assert max(sizes) < 1.1 * min(sizes) < 30


@pytest.mark.parametrize("n", [25, 60])
def test_dense_hessians_beyond_a_few_variables_are_left_to_numbers(n):
    M = np.random.default_rng(2).standard_normal((n, n))
    assert closed_form(program(M @ M.T + np.eye(n), np.ones(n))) is None


def test_no_formula_for_a_variable_without_curvature():
    assert closed_form(program(np.diag([1.0, 0.0]), np.ones(2))) is None


@pytest.mark.parametrize("H", [[[1.0, 2.0], [2.0, 4.0]], [[1.0, 2.0], [2.0, 3.0]], [[-1.0, 0.0], [0.0, 1.0]]])
def test_singular_and_indefinite_hessians_leave_no_margin(H):
    compiled = program(np.array(H), np.ones(2))
    assert at(closed_form(compiled), compiled, 0.5)[2] <= 0


def test_dependent_rows_leave_no_margin():
    A = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 1e-13]])
    compiled = program(np.eye(3), np.ones(3), A, np.zeros(2))
    assert not at(closed_form(compiled), compiled, 0.0)[2] > 0


def test_a_hessian_that_is_definite_on_the_rows_alone_is_left_to_the_engine():
    """y[1] is held by the row; H alone is singular, and the engine answers."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    y = model.lower.y = pyo.Var(range(2))
    model.lower.obj = pyo.Objective(expr=(y[0] - y[1]) ** 2 + y[0])
    model.lower.row = pyo.Constraint(expr=y[0] + y[1] == model.x)
    model.obj = pyo.Objective(expr=y[1])
    reply = Response(model)(np.array([1.0]))
    # On the row y[1] = 1 - y[0], so 8 y[0] = 3.
    np.testing.assert_allclose(reply.y, [0.375, 0.625], atol=1e-9)
