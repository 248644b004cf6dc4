"""Sparse factors, the systems of active sets, and who is taken for sparse."""

from __future__ import annotations

import casadi as ca
import numpy as np
import pytest
from scipy import sparse
from structures import KINDS, SHAPES, model_of

from bilevel.linear_algebra.saddle_system import KktSystem
from bilevel.linear_algebra.sparse_factor import Definiteness, SparseFactor
from bilevel.linear_algebra.sparsity import few_nonzeros
from bilevel.programs.compilation import Compilation
from bilevel.programs.quadratic_form import QuadraticForm
from bilevel.programs.sparse_form import DenseView, SparseForm
from bilevel.reading.problem import Problem


def triangle(matrix):
    """The upper triangle with all of the diagonal, as the forms have it, and its values."""
    places = sparse.csc_array(np.triu(matrix != 0) | np.eye(len(matrix), dtype=bool)).astype(float)
    places.sort_indices()
    columns = np.repeat(np.arange(len(matrix)), np.diff(places.indptr))
    return places, matrix[places.indices, columns]


def random_hessian(rng, n, rank):
    root = rng.standard_normal((n, rank)) * (rng.random((n, rank)) < 0.2)
    return root @ root.T


@pytest.mark.parametrize("seed", range(12))
def test_the_system_of_an_active_set(seed):
    rng = np.random.default_rng(seed)
    n, m = 30, 10
    hessian = random_hessian(rng, n, 2 * n) + 0.1 * np.eye(n)
    if seed % 3 == 0:  # a variable that only a row holds
        hessian[4], hessian[:, 4] = 0.0, 0.0
    matrix = rng.standard_normal((m, n)) * (rng.random((m, n)) < 0.3)
    matrix[2, 4] = 1.0
    units = 10.0 ** rng.integers(-3, 4, n)
    hessian, matrix = hessian * np.outer(units, units), matrix * units
    rows, held = rng.random(m) < 0.7, rng.random(n) < 0.2
    rows[2], held[4] = True, False
    upper, values = triangle(hessian)
    compressed = sparse.csr_array(matrix)
    system = KktSystem(upper, compressed)
    right, below, at = (rng.standard_normal((k, 2)) for k in (n, m, n))
    right, at = right * units[:, None], at / units[:, None]
    for active, fixed in ((rows, held), (np.zeros(m, dtype=bool), None), (rows, held)):
        if active.any() or seed % 3:
            assert system.factorize(values, compressed.data, active, fixed)
            found = system.solve(right, below, at)
            assert system.definite
            assert found.error <= 1e-12
    residual = (hessian @ found.y + matrix.T @ found.rows + found.bounds - right) / units[:, None]
    assert np.abs(residual).max() <= 1e-9 * max(1.0, np.abs(found.rows).max())
    assert (matrix @ found.y)[rows] == pytest.approx(below[rows], abs=1e-9)
    assert found.y[held] == pytest.approx(at[held])
    assert not found.rows[~rows].any()
    assert not found.bounds[~held].any()


def test_what_is_not_definite_is_not_called_so():
    """Only on the null space of the rows does it count."""
    hessian = np.diag([1.0, -1.0, 1.0])
    upper, values = triangle(hessian)
    for row, definite in (
        ([0.0, 1.0, 0.0], True),
        ([1.0, 0.0, 0.0], False),
        ([1.0, 1.1, 0.0], True),
        ([1.1, 1.0, 0.0], False),
    ):
        matrix = sparse.csr_array(np.array([row]))
        system = KktSystem(upper, matrix)
        system.factorize(values, matrix.data)
        assert system.definite == definite, row


def test_a_direction_of_negative_curvature():
    hessian = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.5], [0.0, 0.5, 3.0]])
    upper, values = triangle(hessian)
    factor = SparseFactor(upper)
    assert factor.factorize(values)
    direction = factor.negative()
    assert direction @ hessian @ direction == pytest.approx(factor.pivots.min())
    assert factor.pivots.min() < 0
    factor.factorize(triangle(hessian + 5 * np.eye(3))[1])
    assert factor.negative() is None


@pytest.mark.parametrize("seed", range(10))
def test_the_sign_of_the_least_eigenvalue(seed):
    rng = np.random.default_rng(seed)
    n = 25
    units = 10.0 ** rng.integers(-4, 5, n)
    half = random_hessian(rng, n, n // 2)
    off = half - np.diag(2 * half.diagonal()) - np.eye(n)
    for matrix, sign in ((half + 0.01 * np.eye(n), 1), (half, 0), (off, -1), (np.zeros((n, n)), 0)):
        scaled = matrix * np.outer(units, units)
        upper, values = triangle(scaled)
        assert Definiteness(upper)(values) == sign


def test_a_zero_on_the_diagonal_wants_a_zero_row():
    upper, values = triangle(np.array([[0.0, 1.0], [1.0, 4.0]]))
    assert Definiteness(upper)(values) == -1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sparse_form_is_the_dense_one(shape, kind):
    (program,) = Compilation.of(Problem.read(model_of(shape, kind, 60))).programs.values()
    usual, form = QuadraticForm(program), SparseForm(program)
    view = DenseView(form)
    rng = np.random.default_rng(0)
    for x in (np.array([0.5, 2.0]), np.array([2.0, 0.3])):
        y = rng.standard_normal(program.n)
        assert form.at(x).objective(y) == pytest.approx(usual.at(x).objective(y))
        view.at(x)
        for name in ("hessian", "matrix", "gradient", "offset", "constant"):
            ours, theirs = getattr(form, name), getattr(usual, name)
            np.testing.assert_allclose(ours.toarray() if sparse.issparse(ours) else ours, theirs, atol=1e-12)
            np.testing.assert_allclose(getattr(view, name), theirs, atol=1e-12)
    assert form.constant_hessian == usual.constant_hessian
    assert form.constant_matrix == usual.constant_matrix
    assert form.definiteness > 0


def test_who_is_sparse():
    for shape in SHAPES:
        (program,) = Compilation.of(Problem.read(model_of(shape, "free", 200))).programs.values()
        assert program.sparse
        (program,) = Compilation.of(Problem.read(model_of(shape, "free", 60))).programs.values()
        assert not program.sparse
    nothing = ca.Sparsity(0, 300)
    assert few_nonzeros(ca.Sparsity.banded(300, 2), nothing)
    assert not few_nonzeros(ca.Sparsity.dense(300, 300), nothing)
    rng = np.random.default_rng(0)  # few nonzeros, but a factor that is full
    rows, columns = rng.integers(0, 300, 1500).tolist(), rng.integers(0, 300, 1500).tolist()
    scattered = ca.Sparsity.triplet(300, 300, rows + columns, columns + rows)
    assert not few_nonzeros(scattered, nothing)
    assert not few_nonzeros(ca.Sparsity.diag(300), ca.Sparsity.dense(40, 300))
