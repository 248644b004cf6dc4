"""``least_squares`` against numpy, ``maximum`` against Python."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import bilevel.language.formulas
from bilevel import least_squares, maximum
from bilevel.errors import ModelError
from bilevel.expressions.translation import mentioned

numbers = st.floats(-100, 100).map(lambda v: round(v, 3))


def coefficients(p):
    model = pyo.ConcreteModel()
    model.w = pyo.Var(range(p))
    return model


@st.composite
def data(draw):
    n, p = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    X = draw(arrays(float, (n, p), elements=numbers))
    if p > 1 and draw(st.booleans()):
        X[:, -1] = X[:, 0]  # rank deficient
    return X, draw(arrays(float, n, elements=numbers)), draw(arrays(float, p, elements=numbers))


def agrees(model, expression, X, y, w):
    for k, value in enumerate(w):
        model.w[k].set_value(float(value))
    expected = float(np.sum((X @ w - y) ** 2))
    size = float(np.sum((np.abs(X) @ np.abs(w) + np.abs(y)) ** 2))
    assert pyo.value(expression) == pytest.approx(expected, abs=1e-12 * size + 1e-12)


@given(data())
def test_it_is_the_sum_of_squares(case):
    X, y, w = case
    model = coefficients(len(w))
    agrees(model, least_squares(X, y, model.w), X, y, w)


@given(data())
def test_chunks_make_no_difference(case):
    X, y, w = case
    model = coefficients(len(w))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bilevel.language.formulas, "_rows_at_once", lambda columns: 3)
        agrees(model, least_squares(X, y, model.w), X, y, w)


@given(data())
def test_symbolic_data_gives_the_same(case):
    """A mutable parameter in place of one number takes the other road, row by row."""
    X, y, w = case
    model = coefficients(len(w))
    model.a = pyo.Param(initialize=float(X[0, 0]), mutable=True)
    model.b = pyo.Param(initialize=float(y[0]), mutable=True)
    symbolic, target = X.astype(object), y.astype(object)
    symbolic[0, 0], target[0] = model.a, model.b
    agrees(model, least_squares(symbolic, y, model.w), X, y, w)
    agrees(model, least_squares(X, target, model.w), X, y, w)


def test_digits_survive_an_ill_conditioned_matrix():
    """Forming X'X would lose all digits of the residual here."""
    X = np.array([[1.0, 1.0], [1e-7, 0.0], [0.0, 1e-7]])
    y = np.array([2.0, 0.0, 1e-7])
    model = coefficients(2)
    expression = least_squares(X, y, model.w)
    for k, value in enumerate([1.0, 1.0]):
        model.w[k].set_value(value)
    assert pyo.value(expression) == pytest.approx(1e-14, rel=1e-6)


def test_its_size_does_not_grow_with_the_rows():
    rng = np.random.default_rng(0)
    model = coefficients(3)
    X, y = rng.normal(size=(100_000, 3)), rng.normal(size=100_000)
    expression = least_squares(X, y, model.w)
    assert len(str(expression)) < 2000
    agrees(model, expression, X, y, np.array([1.0, -2.0, 0.5]))


def test_a_memory_mapped_file(tmp_path):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    model = coefficients(2)
    expression = least_squares(
        np.load(tmp_path / "X.npy", mmap_mode="r"), np.load(tmp_path / "y.npy", mmap_mode="r"), model.w
    )
    agrees(model, expression, X, y, np.array([0.5, 2.0]))


@pytest.mark.parametrize("kind", ["lists", "integers", "booleans", "expressions"])
def test_kinds_of_data_and_coefficients(kind):
    model = coefficients(2)
    X = {"lists": [[1, 2], [3, 4]], "booleans": np.array([[True, False], [True, True]])}.get(
        kind, np.array([[1, 2], [3, 4]])
    )
    w = [2 * model.w[0], model.w[1] + 1] if kind == "expressions" else model.w
    expression = least_squares(X, [1, 2], w)
    model.w[0].set_value(0.5)
    model.w[1].set_value(0.25)
    values = np.array([1.0, 1.25]) if kind == "expressions" else np.array([0.5, 0.25])
    assert pyo.value(expression) == pytest.approx(np.sum((np.asarray(X, dtype=float) @ values - [1, 2]) ** 2))


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (np.ones((3, 2)), np.ones(2)),
        (np.ones((3, 3)), np.ones(3)),
        (np.ones(3), np.ones(3)),
        (np.ones((3, 2)), np.ones((3, 1))),
        (np.ones((3, 2, 1)), np.ones(3)),
    ],
)
def test_shapes_that_do_not_fit(X, y):
    with pytest.raises(ModelError, match=r"\(n, p\), \(n,\) and p"):
        least_squares(X, y, coefficients(2).w)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["X", "y"])
def test_numbers_that_are_none(bad, where):
    X, y = np.ones((4, 2)), np.ones(4)
    (X if where == "X" else y)[2] = bad
    with pytest.raises(ModelError, match=f"{where} is {bad} at row 2"):
        least_squares(X, y, coefficients(2).w)


def test_the_maximum():
    model = pyo.ConcreteModel()
    model.a, model.b = pyo.Var(initialize=1.0), pyo.Var(initialize=2.0)
    assert pyo.value(maximum([model.a, model.b, model.a * 5])) == 5.0
    assert pyo.value(maximum(x for x in [model.a, 3, np.float64(2.5)])) == 3.0
    assert set(mentioned([maximum([model.a, model.b, 0])])) == {id(model.a), id(model.b)}


def test_the_maximum_of_numbers_is_a_number():
    assert maximum([1, 2.5, np.int64(2)]) == 2.5
    model = pyo.ConcreteModel()
    model.a = pyo.Var()
    assert maximum([model.a]) is model.a


def test_the_maximum_of_nothing():
    with pytest.raises(ModelError, match="nothing"):
        maximum([])
