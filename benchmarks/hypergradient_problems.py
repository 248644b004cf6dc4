"""Followers of benchmarks/hypergradient.py in numbers alone, so that every tool is given the same arrays.

All but the last are one form, with penalties exp(x) in log units and weights of rows as they are:

    w(x) = argmin  sum_i s_i loss(X_i w, y_i) / n + sum_j a_j |w_j| + sum_j b_j w_j^2 / 2

where a and b are one penalty, one for each coefficient or none, s is 1 or upper variables. ``Quadratics`` are the mean
of 1,024 random pairs of quadratics in 100 + 100 variables, after the manner of ``simulated`` in benchmark_bilevel
(Dagreou, Ablin, Vaiter and Moreau 2022, "A framework for bilevel optimization that enables stochastic and global
variance reduction algorithms"). A method that uses all samples at once sees no more than their mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
LOG_PENALTIES = (float(np.log(1e-3)), 0.0)


@dataclass
class Regression:
    """Training and held-out rows; ``squares`` or ``logistic``; how many penalties of each kind, and weights."""

    loss: str
    X: Array
    y: Array
    X_held: Array
    y_held: Array
    absolute: int = 0
    square: int = 0
    fixed_square: float = 0.0
    weighted: bool = False

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Of x: penalties |w|, penalties w^2, weights."""
        return [LOG_PENALTIES] * (self.absolute + self.square) + [(0.0, 1.0)] * (len(self.y) * self.weighted)

    def parts(self, x: Any) -> tuple[Any, Any, Any]:
        """The entries of x by what they are."""
        return x[: self.absolute], x[self.absolute : self.absolute + self.square], x[self.absolute + self.square :]


@dataclass
class Quadratics:
    """z'Hz/2 + d'z over z = (x, y): ``below`` and ``above`` are such pairs (H, d), of ``n`` + ``n`` variables."""

    n: int
    below: tuple[Array, Array]
    above: tuple[Array, Array]

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Wide enough to hold the optimum."""
        return [(-10.0, 10.0)] * self.n


def regression(loss: str, p: int, n: int, **penalties: Any) -> Regression:
    """Normal features of which a tenth know something of the response."""
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(2 * n, p)), np.zeros(p)
    w[: max(3, p // 10)] = rng.normal(size=max(3, p // 10))
    y = X @ w + rng.normal(size=2 * n)
    y = np.where(y > 0, 1.0, -1.0) if loss == "logistic" else y
    return Regression(loss, X[:n], y[:n], X[n:], y[n:], **penalties)


def digits(training: int = 300, held: int = 600, wrong: float = 0.3) -> Regression:
    """scikit-learn's digits, odd or even; a share of the training labels is turned round, a weight for each row."""
    from sklearn.datasets import load_digits

    X, number = load_digits(return_X_y=True)
    X, y = np.column_stack([X / 16.0, np.ones(len(X))]), 2.0 * (number % 2) - 1.0
    order = np.random.default_rng(0).permutation(len(y))[: training + held]
    X, y = X[order], y[order]
    y[:training][np.random.default_rng(1).random(training) < wrong] *= -1.0
    held_out = X[training:], y[training:]
    return Regression("logistic", X[:training], y[:training], *held_out, fixed_square=1e-2, weighted=True)


def quadratics(n: int = 100, samples: int = 1024) -> Quadratics:
    """Hessians of eigenvalues 0.1 to 1 in random directions, small cross terms, linear terms; their mean."""
    rng = np.random.default_rng(0)

    def half() -> tuple[Array, Array]:
        H, d = np.zeros((2 * n, 2 * n)), np.zeros(2 * n)
        for _ in range(samples):
            for part in (slice(0, n), slice(n, 2 * n)):
                Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
                H[part, part] += (Q * np.logspace(-1, 0, n)) @ Q.T / samples
            cross = rng.normal(size=(n, n)) / (8.0 * np.sqrt(n * samples))
            H[:n, n:] += cross
            H[n:, :n] += cross.T
            d += rng.normal(size=2 * n) / np.sqrt(samples)
        return (H + H.T) / 2.0, d

    return Quadratics(n, half(), half())


PROBLEMS: dict[str, Callable[[], Any]] = {
    "lasso, 10 coefficients": lambda: regression("squares", 10, 200, absolute=1),
    "lasso, 100 coefficients": lambda: regression("squares", 100, 200, absolute=1),
    "lasso, 500 coefficients": lambda: regression("squares", 500, 200, absolute=1),
    "weighted lasso, 100 penalties": lambda: regression("squares", 100, 200, absolute=100),
    "elastic net, 100 coefficients": lambda: regression("squares", 100, 200, absolute=1, square=1),
    "logistic ridge, 1 penalty": lambda: regression("logistic", 20, 500, square=1),
    "logistic ridge, 20 penalties": lambda: regression("logistic", 20, 500, square=20),
    "hyper-cleaning, 300 digits": digits,
    "simulated, 100 + 100": quadratics,
}
