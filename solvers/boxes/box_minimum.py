"""The least value of quadratic polynomials on the box ``[-1, 1]^d``, for few variables and many polynomials at once.

It lies at a corner or in the interior of a face where the gradient along the face vanishes: all 3^d faces are tried.
"""

from __future__ import annotations

import itertools

import numpy as np

from bilevel.arrays import Array
from bilevel.graphs.taylor import Taylor


def box_minimum(taylor: Taylor, model: Array) -> tuple[Array, Array]:
    """Lower bounds of functions in Taylor form, and where their polynomials are least.

    Parameters
    ----------
    taylor : Taylor
        The arithmetic.
    model : ndarray of shape (size, boxes)
        The functions.

    Returns
    -------
    tuple of ndarray
        Bounds, shape (boxes,), minus infinity where nothing is known; points t, shape (d, boxes).
    """
    d, boxes = taylor.d, model.shape[-1]
    hessian = np.zeros((d, d, boxes))
    for (j, k), coefficient in zip(taylor.pairs, model[taylor.quadratic], strict=True):
        hessian[j, k] += coefficient
        hessian[k, j] += coefficient
    slope = model[taylor.linear]
    best, place = np.full(boxes, np.inf), np.zeros((d, boxes))
    with np.errstate(all="ignore"):
        for face in itertools.product((-1.0, 1.0, 0.0), repeat=d):
            t = _stationary(np.array(face), slope, hessian)
            value = (slope * t).sum(axis=0) + 0.5 * np.einsum("jb,jkb,kb->b", t, hessian, t)
            better = value < best
            best, place = np.where(better, value, best), np.where(better, t, place)
        size = np.abs(model[:-1]).sum(axis=0)
        bound = model[0] + best - model[-1] - 1e-13 * size
    return np.where(np.isfinite(bound), bound, -np.inf), place


def _stationary(face: Array, slope: Array, hessian: Array) -> Array:
    """Where the gradient along a face vanishes (0 marks what is free), drawn into the box; its middle if nowhere."""
    t = np.repeat(face[:, None], slope.shape[-1], axis=1)
    free = np.flatnonzero(face == 0.0)
    if not len(free):
        return t
    right = -(slope + np.einsum("jkb,kb->jb", hessian, t))[free]
    inner = hessian[np.ix_(free, free)]
    if len(free) == 1:
        found = right / inner[0]
    elif len(free) == 2:
        found = np.stack(
            [inner[1, 1] * right[0] - inner[0, 1] * right[1], inner[0, 0] * right[1] - inner[1, 0] * right[0]]
        )
        found /= inner[0, 0] * inner[1, 1] - inner[0, 1] * inner[1, 0]
    else:
        system, target = inner.transpose(2, 0, 1), right.T[:, :, None]
        good = np.isfinite(system).all(axis=(1, 2)) & (np.abs(np.linalg.det(system)) > 0.0)
        found = np.linalg.solve(np.where(good[:, None, None], system, np.eye(len(free))), target)[:, :, 0].T
    t[free] = np.clip(np.where(np.isfinite(found), found, 0.0), -1.0, 1.0)
    return t
