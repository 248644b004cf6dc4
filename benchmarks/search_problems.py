"""Expensive functions for developing searches: tuning problems with an exact lower level, and shifted test functions.

Each is a box of dimensions and a function ``values -> cost`` or ``(cost, violation)``; no Pyomo, so that thousands of
evaluations measure the search and nothing else. Every synthetic optimum is moved off the centre and off the lattice's
corners, where many searches look first. ``best`` is the best value known from long runs, not a proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from bilevel.arrays import Point
from bilevel.programs.answer import Status
from bilevel.upper.archive import Evaluation
from bilevel.upper.dimension import Dimension
from bilevel.upper.space import Space

Array = NDArray[np.float64]
Cost = Callable[[Sequence[Any]], float | tuple[float, float]]


class BoxSpace(Space):
    """A space from dimensions alone, with an optional measure of violation over x."""

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        violation: Callable[[Sequence[Any]], float] | None = None,
        start: Point | None = None,
    ) -> None:
        self.dimensions = tuple(dimensions)
        self.names = tuple(d.name for d in dimensions)
        self.start = start
        self._measure = violation

    @property
    def constrained(self) -> bool:
        return self._measure is not None

    @property
    def has_equalities(self) -> bool:
        return False

    def violation(self, point: Point) -> float:
        if self._measure is None:
            return 0.0
        return max(0.0, self._measure([d.value(c) for d, c in zip(self.dimensions, point, strict=True)]))

    def draw(self, unit: Array) -> Point | None:
        point = self.from_unit(unit)
        return point if self.allows(point) else None


@dataclass(frozen=True)
class SearchProblem:
    """A function to be searched.

    Attributes
    ----------
    name : str
        Of the problem.
    dimensions : tuple of Dimension
        Its box.
    cost : callable
        Of the variables' values; with a coupling constraint it returns the violation too.
    best : float
        Best value known.
    violation : callable, optional
        Of the constraints over x, which no search may break.
    """

    name: str
    dimensions: tuple[Dimension, ...]
    cost: Cost
    best: float
    violation: Callable[[Sequence[Any]], float] | None = None

    def space(self) -> BoxSpace:
        """A fresh space."""
        return BoxSpace(self.dimensions, self.violation)

    def evaluate(self, space: BoxSpace, point: Point, index: int) -> Evaluation:
        """What a search is told about a point."""
        assert space.allows(point), f"{self.name}: {point} is not in the space"
        outcome = self.cost([d.value(c) for d, c in zip(self.dimensions, point, strict=True)])
        cost, violation = outcome if isinstance(outcome, tuple) else (outcome, 0.0)
        status = Status.OPTIMAL if math.isfinite(cost) else Status.INFEASIBLE
        return Evaluation(index, point, {}, status=status, cost=cost, upper_violation=violation)


def reals(count: int, lower: float, upper: float, scale: str = "linear", name: str = "x") -> tuple[Dimension, ...]:
    """Continuous dimensions."""
    return tuple(Dimension(f"{name}{k}", lower, upper, scale) for k in range(count))


def sequence(name: str, values: Sequence[Any]) -> Dimension:
    """A list of values; strings make it a category."""
    category = any(isinstance(v, str) for v in values)
    return Dimension(name, 0, len(values) - 1, values=tuple(values), integer=True, categorical=category)


def listed(dimensions: Sequence[Dimension], levels: int) -> tuple[Dimension, ...]:
    """The same box as integer sequences of so many levels each."""
    return tuple(
        d if d.integer else sequence(d.name, [d.from_unit(k / (levels - 1)) for k in range(levels)]) for d in dimensions
    )


# --- tuning: the lower level is fitted exactly on training rows, the upper level judges on validation rows


def regression(
    seed: int, rows: int, features: int, informative: int, noise: float
) -> tuple[Array, Array, Array, Array]:
    """Correlated columns, a sparse truth; training and validation halves."""
    rng = np.random.default_rng(seed)
    mix = np.eye(features) + 0.4 * rng.standard_normal((features, features)) / math.sqrt(features)
    X = rng.standard_normal((rows, features)) @ mix
    truth = np.where(np.arange(features) < informative, rng.normal(0, 1.5, features), 0.0)
    y = X @ truth + 0.3 * np.sin(2 * X[:, 0]) + noise * rng.standard_normal(rows)
    half = rows // 2
    return X[:half], y[:half], X[half:], y[half:]


def ridge(data: tuple[Array, ...], penalties: Sequence[float]) -> float:
    """Validation error of ridge regression with one penalty for all features, or one for each."""
    X, y, Xv, yv = data
    penalty = np.broadcast_to(np.asarray(penalties, dtype=float), X.shape[1:])
    w = cho_solve(cho_factor(X.T @ X + np.diag(penalty)), X.T @ y)
    return float(np.mean((Xv @ w - yv) ** 2))


def proximal(H: Array, c: Array, shrink: float, limit: float, steps: int = 400) -> Array:
    """``min 1/2 w'Hw - c'w + shrink ||w||_1, |w| <= limit`` by accelerated proximal gradients."""
    step = 1.0 / np.linalg.eigvalsh(H)[-1]
    w = v = np.zeros_like(c)
    t = 1.0
    for _ in range(steps):
        z = v - step * (H @ v - c)
        new = np.clip(np.sign(z) * np.maximum(np.abs(z) - step * shrink, 0.0), -limit, limit)
        following = (1 + math.sqrt(1 + 4 * t * t)) / 2
        v = new + (t - 1) / following * (new - w)
        w, t = new, following
    return w


def elastic_net(data: tuple[Array, ...], penalties: Sequence[float]) -> float:
    """Validation error of the elastic net: (l1, l2)."""
    X, y, Xv, yv = data
    w = proximal(X.T @ X + penalties[1] * np.eye(X.shape[1]), X.T @ y, penalties[0], math.inf)
    return float(np.mean((Xv @ w - yv) ** 2))


def kernel(name: str, A: Array, B: Array, gamma: float) -> Array:
    """A kernel matrix by name."""
    square = np.maximum((A**2).sum(1)[:, None] + (B**2).sum(1) - 2 * A @ B.T, 0.0)
    if name == "rbf":
        return np.exp(-gamma * square)
    if name == "laplace":
        return np.exp(-np.sqrt(gamma * square))
    if name == "cauchy":
        return 1 / (1 + gamma * square)
    return (1 + gamma * (A @ B.T)) ** int(name[-1])


def smooth_data(seed: int, rows: int, features: int, noise: float) -> tuple[Array, Array, Array, Array]:
    """A smooth function of a few inputs of unequal scale."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (rows, features))
    y = np.sin(1.5 * X[:, 0]) * X[:, 1] + 0.5 * X[:, 2 % features] ** 2 + noise * rng.standard_normal(rows)
    half = rows // 2
    return X[:half], y[:half], X[half:], y[half:]


def kernel_ridge(data: tuple[Array, ...], values: Sequence[Any]) -> float:
    """Validation error of kernel ridge: (kernel, scaling of the inputs, gamma, penalty)."""
    X, y, Xv, yv = data
    name, scaling, gamma, penalty = values
    if scaling == "rank":
        X, Xv = np.sign(X) * X**2, np.sign(Xv) * Xv**2
    elif scaling == "squash":
        X, Xv = np.tanh(X), np.tanh(Xv)
    w = np.linalg.solve(kernel(name, X, X, gamma) + penalty * np.eye(len(X)), y)
    return float(np.log(np.mean((kernel(name, Xv, X, gamma) @ w - yv) ** 2)))


def support_vectors(data: tuple[Array, ...], values: Sequence[float]) -> float:
    """Validation error of support vector regression without offset: (C, epsilon, gamma)."""
    X, y, Xv, yv = data
    C, epsilon, gamma = values
    w = proximal(kernel("rbf", X, X, gamma) + 1e-8 * np.eye(len(X)), y, epsilon, C, steps=200)
    return float(np.mean((kernel("rbf", Xv, X, gamma) @ w - yv) ** 2))


def media(seed: int, channels: int, weeks: int = 120) -> tuple[Array, Array, Array]:
    """Spend, controls and revenue of a simulated advertiser."""
    rng = np.random.default_rng(seed)
    spend = rng.gamma(1.2, 1.0, (weeks, channels)) * (rng.random((weeks, channels)) < 0.7)
    spend /= spend.max(0)
    t = np.arange(weeks)
    controls = np.column_stack([t / weeks, np.sin(2 * np.pi * t / 52), np.cos(2 * np.pi * t / 52)])
    theta, alpha, gamma = (
        rng.uniform(0.1, 0.7, channels),
        rng.uniform(0.7, 2.5, channels),
        rng.uniform(0.35, 0.9, channels),
    )
    effect = rng.uniform(0.3, 2.0, channels)
    revenue = (
        saturate(spend, theta, alpha, gamma) @ effect + controls @ [0.5, 0.4, -0.3] + 0.15 * rng.standard_normal(weeks)
    )
    return spend, controls, revenue


def saturate(spend: Array, theta: Array, alpha: Array, gamma: Array) -> Array:
    """Adstock, then Hill saturation at a share of its peak."""
    carried = spend.copy()
    for t in range(1, len(carried)):
        carried[t] += theta * carried[t - 1]
    power = carried**alpha
    return power / (power + (gamma * carried.max(0)) ** alpha)


def marketing_mix(data: tuple[Array, Array, Array], values: Sequence[float]) -> float:
    """Validation error of the marketing mix: theta, alpha, gamma of every channel, then the penalty."""
    spend, controls, revenue = data
    theta, alpha, gamma = np.reshape(values[:-1], (3, -1))
    X = np.column_stack([saturate(spend, theta, alpha, gamma), controls])
    X, y, train = X - X[:80].mean(0), revenue - revenue[:80].mean(), slice(80)
    w = np.linalg.solve(X[train].T @ X[train] / 80 + values[-1] * np.eye(X.shape[1]), X[train].T @ y[train] / 80)
    return float(np.sqrt(np.mean((X[80:] @ w - y[80:]) ** 2)))


def marketing_box(channels: int) -> tuple[Dimension, ...]:
    """Ranges of the marketing mix."""
    boxes = [("theta", 0.0, 0.8), ("alpha", 0.5, 3.0), ("gamma", 0.3, 1.0)]
    inner = [d for name, low, high in boxes for d in reals(channels, low, high, name=name)]
    return (*inner, Dimension("penalty", 1e-4, 10.0, "log"))


def tolled(shifted: Array, values: Sequence[float]) -> tuple[float, float]:
    """A leader's tolls and the flow that its follower, a smooth choice among routes, leaves on a road with a limit."""
    toll = np.asarray(values)
    share = np.exp(-(toll + shifted))
    share /= 1 + share.sum()
    return -float(toll @ share), max(0.0, float(share.max()) - 0.16)
