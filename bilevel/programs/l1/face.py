"""The optima of least squares with an l1 term: one of them, and a polyhedron around it in few variables.

All optima have the same residual, hence the same slope (Tibshirani 2013, "The lasso problem and uniqueness", Electronic
Journal of Statistics 7, lemma 1): a coefficient whose penalty holds the slope with room to spare is at rest in all of
them, the others move between zero and their bounds along directions that neither the data nor the ridge see.
"""

from __future__ import annotations

import numpy as np

from bilevel.arrays import Array
from bilevel.programs.answer import Face
from bilevel.programs.l1.form import L1Form, Weights

_WEAK = 1e-9  # within this of its penalty, in units of the gradient at zero, a coefficient may move
_SEEN = 1e-10  # singular values of columns of length one below this, relative to the largest, are zero


def l1_face(form: L1Form, weights: Weights, y: Array) -> Face | None:
    """The set of optima, given one; None where the program's other variables are not known from the coefficients."""
    if not weights.single:
        return None
    w = form.coefficients(y)
    lengths = np.sqrt(2.0 * weights.scale * np.einsum("ij,ij->j", form.matrix, form.matrix) + weights.ridge)
    lengths[lengths == 0.0] = 1.0
    slope = form.slope(weights, w) / lengths
    weak = _WEAK * float(np.abs(form.slope(weights, np.zeros(form.p)) / lengths).max(initial=0.0))
    rises, falls = weights.above / lengths + slope, weights.below / lengths - slope
    low = np.where(falls <= weak, form.lower, 0.0)
    high = np.where(rises <= weak, form.upper, 0.0)
    low, high = np.where(rises < -weak, form.upper, low), np.where(falls < -weak, form.lower, high)
    moving = np.flatnonzero(high > low)
    columns = np.sqrt(2.0 * weights.scale) * form.matrix[:, moving] / lengths[moving]
    ridge = np.diag(np.sqrt(weights.ridge[moving]) / lengths[moving])
    _, sizes, across = np.linalg.svd(np.vstack([columns, ridge]))
    unseen = across[int((sizes > _SEEN * sizes.max(initial=0.0)).sum()) :].T / lengths[moving][:, None]
    both = (low[moving] < 0.0) & (high[moving] > 0.0)
    parts = (form.minus[moving] >= 0) | np.isin(moving, form.tops.owners)
    if (both & parts & unseen.any(axis=1)).any():
        return None
    sides = np.sign(w)
    sides[moving] = np.where(high[moving] > 0.0, 1.0, -1.0)
    motions = np.zeros((form.p, unseen.shape[1]))
    motions[moving] = unseen
    directions = np.array([form.spread(motion, sides) for motion in motions.T]).reshape(-1, form.n).T
    return Face(directions, unseen, low[moving] - w[moving], high[moving] - w[moving])
