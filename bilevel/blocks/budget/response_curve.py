"""What a channel's spend brings: carried over from week to week, saturated, in the user's units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo

from bilevel.arrays import Array
from bilevel.errors import ModelError

_FORGOTTEN = 1e-9  # what is left of a week's spend, below which it is no longer carried


def _hill(u: Any, exponent: float, _: Callable[[Any], Any]) -> Any:
    power = u**exponent
    return power / (power + 1.0)


_CURVES: dict[str, Callable[[Any, float, Callable[[Any], Any]], Any]] = {
    "hill": _hill,
    "michaelis_menten": lambda u, _, __: u / (u + 1.0),
    "tanh": lambda u, _, tanh: tanh(u),
    "logistic": lambda u, _, tanh: tanh(0.5 * u),
    "root": lambda u, exponent, _: u**exponent,
}


@dataclass(frozen=True)
class ResponseCurve:
    """The response to a channel's spend, ``effect * S(A / half)`` a week, A its adstock.

    Attributes
    ----------
    effect : float
        Response per week at full saturation (for "root": at A = half), in the outcome's units; not negative.
    half : float
        The adstock by which saturation is measured, in units of spend a week: for "hill" and "michaelis_menten" where
        half of the effect is reached.
    exponent : float
        Of "hill" (above 1 the curve is S-shaped) and "root".
    decay : float
        The share of a week's adstock that is carried to the next, ``A_t = x_t + decay A_{t-1}``.
    weights : tuple of float, optional
        Lag weights in place of the decay, ``A_t = sum_k weights[k] x_{t-k}``.
    saturation : str
        "hill", "michaelis_menten", "tanh", "logistic" or "root".

    Raises
    ------
    ModelError
        If a number makes no sense, naming it.
    """

    effect: float
    half: float
    exponent: float = 1.0
    decay: float = 0.0
    weights: tuple[float, ...] | None = None
    saturation: str = "hill"

    def __post_init__(self) -> None:
        if self.saturation not in _CURVES:
            raise ModelError(f"saturation={self.saturation!r} is not known; take one of {', '.join(_CURVES)}")
        for name in ("half", "exponent"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ModelError(f"{name}={getattr(self, name)!r} of a ResponseCurve must be a number above zero")
        if not 0.0 <= self.effect < math.inf:
            raise ModelError(
                f"effect={self.effect!r} of a ResponseCurve must be a number that is not negative; leave the channel"
                " out if it has none"
            )
        if not 0.0 <= self.decay < 1.0:
            raise ModelError(f"decay={self.decay!r} of a ResponseCurve must be at least 0 and below 1")

    def lags(self, weeks: int) -> Array:
        """The weights of spend so many weeks ago, shape (weeks,)."""
        if self.weights is not None:
            given = np.array(self.weights, dtype=float)[:weeks]
            return np.concatenate([given, np.zeros(weeks - len(given))])
        lags = self.decay ** np.arange(weeks, dtype=float)
        return np.where(lags >= _FORGOTTEN, lags, 0.0)

    def carried(self, spend: Sequence[Any] | Array) -> Array:
        """Adstock of a series of spend, in its weeks."""
        series = np.asarray(spend, dtype=float)
        return np.convolve(series, self.lags(len(series)))[: len(series)]

    def saturated(self, carried: Any) -> Any:
        """Response in weeks with that adstock: of numbers, of an array, or of one Pyomo expression."""
        numeric = isinstance(carried, (int, float, np.ndarray))
        tanh = np.tanh if numeric else pyo.tanh
        return self.effect * _CURVES[self.saturation](carried / self.half, self.exponent, tanh)
