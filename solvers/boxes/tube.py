"""Where the answers of one follower lie on boxes of x: a polynomial, and how far from it they can be."""

from __future__ import annotations

from dataclasses import dataclass

from bilevel.arrays import Array


@dataclass
class Tube:
    """Where the answers of one follower lie, on each of several boxes.

    Attributes
    ----------
    model : ndarray of shape (size, n, boxes)
        p, in Taylor form, without a radius.
    delta : ndarray of shape (boxes,)
        Bound on ``|y(x) - p(x)|_H``; infinite where there is none.
    inverse : ndarray of shape (boxes, n, n)
        H^-1.
    reach : ndarray of shape (n, boxes)
        Bound on each ``|y_i(x) - p_i(x)|``.
    sway : ndarray of shape (d, boxes)
        How much each entry of x matters to the Hessian; only a hint where to cut.
    """

    model: Array
    delta: Array
    inverse: Array
    reach: Array
    sway: Array
