"""Least squares with an l1 term as bad as they come, and how far a point is from optimal by extended precision."""

from __future__ import annotations

import numpy as np

from bilevel.programs.l1.form import Curvatures, L1Form, Tops, Weights

_NONE = np.zeros(0, dtype=int)


def form_of(matrix, target, lower, upper):
    """A form whose variables are its coefficients."""
    p = matrix.shape[1]
    tops = Tops(_NONE, _NONE, np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool))
    curvatures = Curvatures(_NONE, _NONE, np.zeros((3, p)))
    places, unsplit = np.arange(p), -np.ones(p, dtype=int)
    return L1Form(p, matrix, target, lower, upper, places, unsplit, tops, curvatures, np.zeros(p), None, 0.0)


def drawn(rng):
    """A form and weights: correlated, doubled, summed, constant and empty columns in any units, any penalties."""
    n, p = int(rng.choice([3, 10, 40, 100])), int(rng.choice([1, 2, 5, 10, 30, 60, 120]))
    X, intercept = _columns(rng, n, p)
    y = X @ np.where(rng.random(p) < 0.3, rng.normal(size=p), 0.0) + rng.choice([0.0, 0.1, 1.0]) * rng.normal(size=n)
    sizes = np.linalg.norm(X, axis=0)
    if rng.random() < 0.3:
        units = 10.0 ** rng.uniform(-4, 6, size=p)
        X, sizes = X * units, sizes * units
    if intercept:
        X[:, -1], sizes[-1] = 1.0, np.sqrt(n)
    y = y * 10.0 ** rng.uniform(-4, 6) if rng.random() < 0.2 else y
    c = float(rng.choice([1.0, 0.5, 0.5 / n, 1e-4, 1e3]))
    largest = float(np.abs(2.0 * c * X.T @ y).max()) or 1.0
    shares = [1.0, 1.0 - 1e-9, 0.5, 0.1, 0.01, 1e-3, 1e-5, 1e-8, 2.0, 0.0]
    penalty = np.full(p, largest * rng.choice(shares))
    penalty = penalty * sizes / max(sizes.max(), 1e-300) if rng.random() < 0.3 else penalty
    penalty = penalty * (rng.random(p) < 0.7) if rng.random() < 0.15 else penalty
    penalty[-1] = 0.0 if intercept else penalty[-1]
    ridge = np.full(p, 2.0 * c * rng.choice([0.0, 0.0, 1e-8, 1e-3, 0.1]) * sizes.max() ** 2)
    lower, upper = np.full(p, -np.inf), np.full(p, np.inf)
    bounds = rng.random()
    if bounds < 0.2:
        lower[:] = 0.0
    elif bounds < 0.3:
        upper = 0.4 * np.sqrt(n) / np.where(sizes > 0.0, sizes, 1.0)
        lower = -0.7 * upper
    above = 0.3 * penalty if rng.random() < 0.1 else penalty
    return form_of(X, y, lower, upper), Weights(c, np.zeros(p), ridge, above, penalty.copy(), 0.0, True)


def _columns(rng, n, p):
    X = rng.normal(size=(n, p))
    if rng.random() < 0.5:
        shared = rng.choice([0.5, 0.9, 0.99, 0.9999])
        X = np.sqrt(1.0 - shared) * X + np.sqrt(shared) * rng.normal(size=(n, 1))
    if rng.random() < 0.3:
        for _ in range(3):
            i, j = rng.integers(p, size=2)
            X[:, i] = X[:, j] * rng.choice([1.0, -1.0, 2.5])
    if rng.random() < 0.15:
        X[:, rng.integers(p)] = 0.0
    if rng.random() < 0.15 and p > 3:
        X[:, 0] = X[:, 1] + X[:, 2]
    X = np.round(X) if rng.random() < 0.1 else X
    return X, bool(rng.random() < 0.2)


def residual(form, weights, w):
    """The largest violation of the conditions of optimality, relative to the gradient at zero, columns of length one.

    What double precision leaves of a gradient, relative to the target, counts as none.
    """
    long = np.longdouble
    slope = 2 * long(weights.scale) * ((form.matrix.astype(long) @ w - form.target) @ form.matrix)
    slope = slope + weights.linear + weights.ridge * w
    lengths = np.sqrt(2.0 * weights.scale * np.square(form.matrix).sum(axis=0) + weights.ridge)
    lengths[lengths == 0.0] = 1.0
    left, right = form.slopes_around(weights, w)
    violation = float((np.maximum(-slope - right, slope + left) / lengths).max())
    unit = np.abs(2.0 * weights.scale * (form.target @ form.matrix) / lengths).max()
    rounding = 1e-13 * np.sqrt(2.0 * weights.scale) * np.linalg.norm(form.target)
    return 0.0 if violation <= rounding else violation / unit
