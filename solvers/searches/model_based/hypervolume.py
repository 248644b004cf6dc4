r"""What a next point is worth to a front, by the Gaussian posteriors of its objectives; larger is better.

Two objectives: the expected hypervolume improvement (Emmerich, Deutz and Klinkenberg 2011). The front cuts the first
objective into strips [l_i, u_i] in which it has the level h_i in the second, and with independent posteriors

    EHVI = sum_i (E[(u_i - Y_1)^+] - E[(l_i - Y_1)^+]) E[(h_i - Y_2)^+],

of which the logarithm is taken, term by term (Ament et al. 2023): the plain sum is zero in floating point over most of
the box. More objectives: the expected improvement of an augmented Chebyshev scalarisation with weights drawn anew for
each proposal (ParEGO, Knowles 2006),

    s(y) = max_j w_j y_j + 0.05 sum_j w_j y_j,

by quasi-random normal draws common to all candidates (Daulton, Balandat and Bakshy 2020).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

from bilevel.arrays import Array
from bilevel.solvers.searches.model_based.acquisition import log_h

Worth = Callable[[Array, Array], Array]
"""``(means, deviations) -> logarithm of the worth``, shapes (m, k), (m, k) and (m,)."""

_AUGMENTED = 0.05
_DRAWS = 64
_SOFT = 1e-3  # over how much of a range a draw's improvement is rounded off, so that it has a slope everywhere
_STEP = 1e-5


def log_hypervolume_improvement(front: Array, reference: Array) -> Worth:
    """Logarithm of the expected improvement of the hypervolume.

    Parameters
    ----------
    front : ndarray of shape (n, 2)
        Nondominated costs, each below the reference.
    reference : ndarray of shape (2,)
        Up to where hypervolume counts.
    """
    order = front[np.argsort(front[:, 0], kind="stable")]
    ends = np.append(order[:, 0], reference[0])
    levels = np.append(reference[1], order[:, 1])

    def worth(means: Array, deviations: Array) -> Array:
        first = _log_below(ends, means[:, 0], deviations[:, 0])
        before = np.hstack([np.full((len(means), 1), -np.inf), first[:, :-1]])
        ratio = np.minimum(before - first, -1e-12)
        widths = first + np.log(-np.expm1(ratio))
        return np.asarray(logsumexp(widths + _log_below(levels, means[:, 1], deviations[:, 1]), axis=1))

    return worth


def log_end_improvement(which: int, best: float) -> Worth:
    """Logarithm of the expected improvement of one objective by itself, at whose best the front has an end."""

    def worth(means: Array, deviations: Array) -> Array:
        return _log_below(np.array([best]), means[:, which], deviations[:, which])[:, 0]

    return worth


def _log_below(levels: Array, mean: Array, deviation: Array) -> Array:
    """``log E[(level - Y)^+]`` for every candidate and level, shape (m, n)."""
    return np.log(deviation)[:, None] + log_h((levels[None] - mean[:, None]) / deviation[:, None])


def log_scalarised_improvement(front: Array, weights: Array, draws: Array) -> Worth:
    """Logarithm of the expected improvement of a Chebyshev scalarisation.

    Parameters
    ----------
    front : ndarray of shape (n, k)
        What was found, in ranges of the front.
    weights : ndarray of shape (k,)
        Positive, with sum 1.
    draws : ndarray of shape (q, k)
        Of a standard normal.
    """
    best = float(_scalarised(front, weights).min())

    def worth(means: Array, deviations: Array) -> Array:
        values = _scalarised(means[:, None] + deviations[:, None] * draws[None], weights)
        return np.asarray(np.log(np.logaddexp(0.0, (best - values) / _SOFT).mean(axis=1) + 1e-300))

    return worth


def _scalarised(costs: Array, weights: Array) -> Array:
    weighted = costs * weights
    return np.asarray(weighted.max(axis=-1) + _AUGMENTED * weighted.sum(axis=-1))


def draws_of(count: int, rng: np.random.Generator) -> Array:
    """Quasi-random normal draws, shape (q, count)."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    return np.asarray(ndtri(np.clip(qmc.Sobol(count, rng=rng).random(_DRAWS), 1e-6, 1 - 1e-6)))


def slopes(worth: Worth, mean: Array, deviation: Array) -> tuple[float, Array, Array]:
    """The worth at one posterior, and its derivatives by means and deviations, shapes (k,), by central differences."""
    k = len(mean)
    steps = _STEP * np.concatenate([deviation, deviation])
    moves = np.vstack([np.zeros(2 * k), np.diag(steps), -np.diag(steps)])
    values = worth(mean + moves[:, :k], deviation + moves[:, k:])
    slope = (values[1 : 2 * k + 1] - values[2 * k + 1 :]) / (2.0 * steps)
    return float(values[0]), slope[:k], slope[k:]
