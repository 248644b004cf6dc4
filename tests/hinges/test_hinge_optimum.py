"""The numbers of sums of hinges: random and hard ones, each answer proved by its own forces."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bilevel.programs.hinges.form import Weights
from bilevel.solvers.engines.hinge_sums.optimum import HingeOptimum


def solved(A, hessian, linear, caps, kinks, rounding, start=None):
    """The optimum, how far its forces leave f from its least, and what they leave of the slope."""
    none = np.zeros(0)
    weights = Weights(hessian, linear, caps, kinks, rounding, 0.0, none, True)
    found = HingeOptimum(SimpleNamespace(matrix=A))(weights, start)
    assert found is not None
    w, b = found.w, found.forces
    assert (b >= -1e-9).all()
    assert (b <= caps * (1.0 + 1e-9) + 1e-12).all()
    hinges = np.maximum(kinks - A @ w, 0.0)
    soft = rounding > 0.0
    primal = 0.5 * w @ hessian @ w + linear @ w + caps[~soft] @ hinges[~soft]
    primal += float((hinges[soft] ** 2 / (2.0 * rounding[soft])).sum())  # only without caps
    dual = kinks @ b - 0.5 * rounding @ b**2 - 0.5 * w @ hessian @ w
    left = np.abs(hessian @ w + linear - b @ A).max()
    return found, (primal - dual) / max(1.0, abs(primal)), left / max(1.0, np.abs(b @ np.abs(A)).max())


def machine(n, p, seed, cost, digits=None):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(n, p)), np.ones(n)])
    if digits is not None:
        X = np.round(X, digits)
    y = np.where(X[:, 0] + rng.normal(size=n) > 0.0, 1.0, -1.0)
    hessian = np.eye(p + 1)
    hessian[p, p] = 0.0
    return y[:, None] * X, hessian, np.zeros(p + 1), np.full(n, cost), np.ones(n), np.zeros(n)


@pytest.mark.parametrize("cost", [1e-4, 0.1, 10.0, 1e4])
@pytest.mark.parametrize(("n", "p"), [(60, 3), (60, 40), (30, 60)])
def test_machines_of_any_cost(n, p, cost):
    for seed in range(3):
        _, gap, left = solved(*machine(n, p, seed, cost))
        assert abs(gap) < 1e-8
        assert left < 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_occur_twice_and_rounded_features(seed):
    A, hessian, linear, caps, kinks, rounding = machine(60, 3, seed, 1.0, digits=0)
    A, caps, kinks, rounding = (np.concatenate([v, v]) for v in (A, caps, kinks, rounding))
    _, gap, left = solved(A, hessian, linear, caps, kinks, rounding)
    assert abs(gap) < 1e-8
    assert left < 1e-9


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9])
def test_quantiles_of_whole_numbers_where_many_rows_meet(quantile):
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(80), rng.integers(0, 3, 80).astype(float)])
    y = rng.integers(0, 6, 80).astype(float)
    _, gap, left = solved(X, np.zeros((2, 2)), (1 - quantile) * X.sum(axis=0), np.ones(80), y, np.zeros(80))
    assert abs(gap) < 1e-8
    assert left < 1e-9


def test_a_median_of_an_even_number_is_not_the_only_one():
    y = np.array([1.0, 2.0, 5.0, 9.0])
    X = np.ones((4, 1))
    found, gap, _ = solved(X, np.zeros((1, 1)), 0.5 * X.sum(axis=0), np.ones(4), y, np.zeros(4))
    assert 2.0 - 1e-9 <= found.w[0] <= 5.0 + 1e-9
    assert not found.unique
    assert abs(gap) < 1e-9
    found, _, _ = solved(X[:3], np.zeros((1, 1)), 0.5 * X[:3].sum(axis=0), np.ones(3), y[:3], np.zeros(3))
    assert found.w[0] == pytest.approx(2.0, abs=1e-12)
    assert found.unique


def test_rounded_kinks_without_caps_are_squares():
    A, hessian, linear, _, kinks, _ = machine(80, 4, 0, 1.0)
    found, gap, left = solved(A, hessian, linear, np.full(80, np.inf), kinks, np.full(80, 0.5))
    assert abs(gap) < 1e-9
    assert left < 1e-9
    assert found.unique


def test_features_in_grams_and_in_tonnes_and_rows_that_cost_nothing():
    A, hessian, linear, caps, kinks, rounding = machine(60, 4, 5, 1.0)
    caps[:7] = 0.0
    units = np.array([1e-6, 1e6, 1.0, 1e3, 1.0])
    plain, _, _ = solved(A, hessian, linear, caps, kinks, rounding)
    other, gap, _ = solved(A * units, hessian * np.outer(units, units), linear, caps, kinks, rounding)
    assert abs(gap) < 1e-8
    assert np.abs(other.w * units - plain.w).max() < 1e-8
    assert not plain.forces[:7].any()


@pytest.mark.parametrize("digits", [None, 1])
def test_a_start_anywhere_leads_to_the_optimum(digits):
    rng = np.random.default_rng(1)
    case = machine(70, 4, 2, 0.4, digits)
    wanted, _, _ = solved(*case)
    for scale in (0.0, 1e-6, 1e-2, 10.0):
        found, gap, _ = solved(*case, wanted.w + scale * rng.normal(size=5))
        assert abs(gap) < 1e-8
        if wanted.unique:
            assert np.abs(found.w - wanted.w).max() < 1e-8
