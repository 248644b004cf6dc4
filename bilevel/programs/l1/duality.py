"""A proved lower bound on the best f of an l1 form from any coefficients: weak duality, a few products with the data.

For every vector u, ``||R z - t||^2 >= 2 u'(R z - t) - u'u``, with equality where u is the residual at z. What is left
to minimise over z is separable:

    min f >= c (-2 u't - u'u) + k
             + sum_j min_{lower <= z <= upper} (2 c (R'u)_j + q_j) z + d_j z^2 / 2 + a_j max(z, 0) + b_j max(-z, 0)

(Fenchel's dual; Mairal 2010; Fercoq, Gramfort and Salmon 2015 for u as a multiple of a residual). At the optimum's own
residual it is f itself, hence the gap proves an answer whoever found it.
"""

from __future__ import annotations

import numpy as np

from bilevel.arrays import Array
from bilevel.programs.l1.form import L1Form, Weights

_ROUNDING = 1e-11  # how far past its penalty the slope of a coefficient may be for rounding, relative to what it sums
_DIGITS = 1e-15  # the same relative to what the residual is the difference of


def lower_bound(form: L1Form, weights: Weights, w: Array) -> float:
    """The best of the bounds from the residual at w, from the largest multiple of it that is feasible, and from none.

    A coefficient of no penalty, bound or ridge has a slope that no residual computed makes zero: what rounding leaves
    of it is taken for zero, at the price of what it would make of a coefficient three times as large.
    """
    fitted = form.matrix @ w
    residual = fitted - form.target
    pull = (2.0 * weights.scale) * (residual @ form.matrix)
    lengths = np.sqrt(np.einsum("ij,ij->j", form.matrix, form.matrix))
    terms = _ROUNDING * np.linalg.norm(residual) + _DIGITS * (np.linalg.norm(fitted) + np.linalg.norm(form.target))
    noise = 2.0 * weights.scale * lengths * terms + _ROUNDING * np.abs(weights.linear)
    best = -np.inf
    for share in (1.0, _feasible_share(form, weights, pull, noise), 0.0):
        separable = _least(form, weights, share * pull + weights.linear, noise, 3.0 * np.abs(w))
        own = weights.scale * share * (-2.0 * float(residual @ form.target) - share * float(residual @ residual))
        best = max(best, own + weights.constant + separable)
    return best


def _feasible_share(form: L1Form, weights: Weights, pull: Array, noise: Array) -> float:
    """The largest multiple of the pull, up to 1, at which no coefficient without bound or ridge falls for ever."""
    up, down = (weights.ridge == 0.0) & np.isinf(form.upper), (weights.ridge == 0.0) & np.isinf(form.lower)
    low = np.where(up, -weights.above - weights.linear, -np.inf)
    high = np.where(down, weights.below - weights.linear, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        limits = np.where(pull > 0.0, high / pull, np.where(pull < 0.0, low / pull, np.inf))
    holds = (pull >= low - noise) & (pull <= high + noise)
    return float(
        np.clip(np.nanmin(np.where(holds, np.maximum(limits, 1.0 - _ROUNDING), limits), initial=1.0), 0.0, 1.0)
    )


def _least(form: L1Form, weights: Weights, slope: Array, noise: Array, reaches: Array) -> float:
    """The sum of the least values of the separable part."""
    total = 0.0
    for sign, penalty, end in ((1.0, weights.above, form.upper), (-1.0, weights.below, -form.lower)):
        falling = sign * slope + penalty  # along |z| on this side
        rounded = (falling < 0.0) & (falling >= -noise) & np.isinf(end) & (weights.ridge == 0.0)
        total += float((falling * reaches)[rounded].sum())
        falling = np.where(rounded, 0.0, falling)
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(falling < 0.0, np.minimum(end, -falling / weights.ridge), 0.0)
            values = np.where(reach > 0.0, falling * reach + 0.5 * weights.ridge * reach * reach, 0.0)
        if np.isinf(reach).any():
            return -np.inf
        total += float(values.sum())
    return total
