r"""Gaussian process with a Matern-5/2 kernel and one lengthscale per dimension (Rasmussen and Williams 2006, ch. 2, 5).

    k(x, x') = (1 + sqrt5 r + 5/3 r^2) exp(-sqrt5 r),   r^2 = sum_k (x_k - x'_k)^2 / l_k^2

Zero mean and unit variance: the values come standardised, and an output scale only gives the fit one more way to be
wrong. The lengthscales are the maximum of the posterior under LogNormal(sqrt2 + log(d)/2, sqrt3), whose location
grows with the dimension so that a prior function is about equally complex in any (Hvarfner et al. 2024, arXiv
2402.02229). It is taken as a density in l: its term -log l pulls towards short lengthscales, and leaving it out costs
half of the search's regret. The noise has LogNormal(-8, 2) in the variance with a floor of 1e-6: the lower level is
solved exactly. On request a quadratic is added (:mod:`.quadratic_trend`), the variance of whose terms together has
LogNormal(-3, 3/2).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from bilevel.arrays import Array
from bilevel.contracts.surrogate import Surrogate
from bilevel.registry import register
from bilevel.solvers.surrogates.quadratic_trend import quadratic, quadratic_slope

__all__ = ["GaussianProcess"]

_SQRT5 = math.sqrt(5.0)
_SCALE_DEVIATION = math.sqrt(3.0)
_NOISE_FLOOR = 1e-6
_NOISE_PRIOR = (-8.0, 2.0)
_TREND_PRIOR = (-3.0, 1.5)
_BOUNDS = (math.log(5e-3), math.log(1e3))
_TREND_BOUNDS = (-12.0, 3.0)
_FRESH = 5
"""Every so many fits the hyperparameters also start afresh: a warm start alone keeps a bad mode for ever."""


def matern(square: Array) -> tuple[Array, Array]:
    """The kernel at squared scaled distances, and ``(1 + sqrt5 r) exp(-sqrt5 r)``, which all its derivatives share."""
    r = np.sqrt(square)
    r *= _SQRT5
    decay = np.exp(-r)
    slope = (1.0 + r) * decay
    return slope + (5.0 / 3.0) * square * decay, slope


def _squared(A: Array, B: Array) -> Array:
    square: Array = (A * A).sum(1)[:, None] + (B * B).sum(1) - 2.0 * (A @ B.T)
    np.maximum(square, 0.0, out=square)
    return square


@register("gaussian_process")
class GaussianProcess(Surrogate):
    """Matern-5/2 Gaussian process with a lengthscale per dimension, at the maximum of its posterior.

    Parameters
    ----------
    groups : ndarray of int, shape (p,), optional
        Columns with the same number share a lengthscale: the indicators of one category. None: each its own.
    trend : bool
        Add a separable quadratic.

    Notes
    -----
    Take it when points are few and dear and the deviation counts as much as the mean; for many points ``radial_basis``
    is quicker.
    """

    def __init__(self, groups: NDArray[np.int_] | None = None, trend: bool = False) -> None:
        self._groups = groups
        self._trend = trend
        self._theta: Array | None = None
        self._fits = 0
        self._variances: Array | None = None

    @property
    def lengthscales(self) -> Array:
        """Of every column, shape (p,)."""
        assert self._theta is not None
        assert self._groups is not None
        return np.asarray(np.exp(self._theta[self._groups]))

    def fit(self, points: Array, values: Array, variances: Array | None = None) -> None:
        """Fit; values may have variances of their own, known ones, besides the noise that is found, shape (n,)."""
        self._variances = variances
        if self._groups is None:
            self._groups = np.arange(points.shape[1])
        size = int(self._groups.max(initial=-1)) + 1
        location = math.sqrt(2.0) + 0.5 * math.log(max(size, 1))
        scales = np.full(size, location - _SCALE_DEVIATION**2)
        default = np.array([*scales, *_TREND_PRIOR[: int(self._trend)], math.log(1e-4)])
        starts = [default] if self._theta is None else [self._theta]
        if self._theta is not None and self._fits % _FRESH == 0:
            starts.append(default)
        self._fits += 1
        bounds = [_BOUNDS] * size + [_TREND_BOUNDS] * self._trend + [(math.log(_NOISE_FLOOR), 0.0)]
        terms = self._terms(points)
        trend = terms @ terms.T
        found = [
            minimize(
                self._loss, start, (points, values, location, trend), "L-BFGS-B", jac=True, bounds=bounds,
                options={"maxiter": 30 if start is default else 12, "maxcor": 8},
            )
            for start in starts
        ]  # fmt: skip
        self._theta = np.asarray(min(found, key=lambda result: float(result.fun)).x)
        self.condition(points, values)

    def _terms(self, points: Array) -> Array:
        """The quadratic's features at unit variance, shape (n, q); q = 0 where there is none."""
        assert self._groups is not None
        if not self._trend:
            return np.zeros((len(points), 0))
        return quadratic(points, self._groups) / math.sqrt(self._groups.max(initial=0) + 1.0)

    def _loss(self, theta: Array, points: Array, values: Array, location: float, trend: Array) -> tuple[float, Array]:
        """Negative log posterior and its gradient in the logarithms of lengthscales, trend (if any) and noise.

        ``dK/dlog l_k = 5/3 (1 + sqrt5 r) exp(-sqrt5 r) (x_k - x'_k)^2 / l_k^2``; summed against a symmetric W that is
        two products with the points, so no array of shape (n, n, d) is ever built.
        """
        assert self._groups is not None
        size = len(theta) - 1 - self._trend
        scaled = points / np.exp(theta[self._groups])
        noise, extra = math.exp(theta[-1]), math.exp(theta[size]) * trend
        kernel, slope = matern(_squared(scaled, scaled))
        kernel.flat[:: len(kernel) + 1] = 1.0 + noise
        if self._variances is not None:
            kernel.flat[:: len(kernel) + 1] += self._variances
        try:
            factor = cholesky(kernel + extra, lower=True, check_finite=False)
        except LinAlgError:
            return 1e10, np.zeros_like(theta)
        alpha = cho_solve((factor, True), values, check_finite=False)
        log_prior, prior_slope = self._log_prior(theta, location)
        loss = 0.5 * values @ alpha + np.log(np.diag(factor)).sum() - log_prior
        inverse, _ = dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        gap = np.outer(alpha, alpha) - inverse
        weighted = gap * slope
        columns = (5.0 / 3.0) * (weighted.sum(1) @ scaled**2 - (scaled * (weighted @ scaled)).sum(0))
        rest = [0.5 * float((gap * extra).sum())] * self._trend + [0.5 * noise * np.trace(gap)]
        gradient = np.append(np.bincount(self._groups, columns, size), rest)
        return float(loss), -gradient - prior_slope

    def _log_prior(self, theta: Array, location: float) -> tuple[float, Array]:
        """Densities in the lengthscales and the noise, and in the logarithm of the trend's variance."""
        size = len(theta) - 1 - self._trend
        priors = [(location, _SCALE_DEVIATION)] * size + [_TREND_PRIOR] * self._trend + [_NOISE_PRIOR]
        middle, variance = np.array([(place, width**2) for place, width in priors]).T
        linear = np.array([1.0] * size + [0.0] * self._trend + [1.0])
        offset = theta - middle
        return float(-(linear * theta + 0.5 * offset**2 / variance).sum()), -linear - offset / variance

    def condition(self, points: Array, values: Array) -> None:
        """Take these observations at the hyperparameters already found (a believed value, for one)."""
        assert self._theta is not None
        self._scales = self.lengthscales
        self._scaled = points / self._scales
        self._known = self._terms(points)
        self._extent = math.exp(self._theta[-2]) if self._trend else 0.0
        kernel, _ = matern(_squared(self._scaled, self._scaled))
        kernel.flat[:: len(kernel) + 1] = 1.0 + math.exp(self._theta[-1])
        if self._variances is not None:  # of points that are believed nothing is known
            kernel.flat[: len(self._variances) * (len(kernel) + 1) : len(kernel) + 1] += self._variances
        kernel += self._extent * (self._known @ self._known.T)
        self._factor = cholesky(kernel, lower=True, check_finite=False)
        self._alpha = cho_solve((self._factor, True), values, check_finite=False)

    def predict(self, points: Array) -> tuple[Array, Array]:
        covariance, _ = matern(_squared(points / self._scales, self._scaled))
        terms = self._terms(points)
        covariance += self._extent * (terms @ self._known.T)
        explained = solve_triangular(self._factor, covariance.T, lower=True, check_finite=False)
        variance = 1.0 + self._extent * (terms * terms).sum(1) - (explained * explained).sum(0)
        return covariance @ self._alpha, np.sqrt(np.maximum(variance, 1e-12))

    def gradient(self, point: Array) -> tuple[float, float, Array, Array]:
        """Mean and deviation at one point of shape (p,), and their gradients."""
        offset = point / self._scales - self._scaled
        covariance, slope = matern((offset * offset).sum(1))
        jacobian = (-5.0 / 3.0) * slope[:, None] * offset / self._scales
        variance, rise = 1.0, np.zeros_like(point)
        if self._trend:
            assert self._groups is not None
            terms = self._terms(point[None])[0]
            steep = quadratic_slope(point, self._groups) / math.sqrt(self._groups.max() + 1.0)
            covariance += self._extent * (self._known @ terms)
            jacobian += self._extent * (self._known @ steep)
            variance += self._extent * float(terms @ terms)
            rise = self._extent * (terms @ steep)
        solved = cho_solve((self._factor, True), covariance, check_finite=False)
        deviation = math.sqrt(max(variance - float(covariance @ solved), 1e-12))
        return (
            float(covariance @ self._alpha),
            deviation,
            self._alpha @ jacobian,
            (rise - solved @ jacobian) / deviation,
        )
