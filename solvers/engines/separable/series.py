"""Taylor coefficients of a term in its one argument, as numbers and as intervals (Moore 1966).

``c_k`` is the k-th derivative over k!. The rules are written once, for whatever has a sum, a product and the few
functions below: an array of numbers, or an :class:`~bilevel.solvers.engines.separable.intervals.Interval`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import casadi as ca
import numpy as np

from bilevel.solvers.engines.separable.intervals import Interval

Series = list[Any]


def product(a: Series, b: Series) -> Series:
    """Of two series, to the length they have."""
    return [_sum([a[j] * b[k - j] for j in range(k + 1)]) for k in range(len(a))]


def composed(outer: Series, u: Series) -> Series:
    """``f(u)`` from the coefficients of f at u's value, to the third order."""
    found = [outer[0], *(outer[1] * part for part in u[1:2])]
    if len(u) > 2:
        found.append(_sum([outer[1] * u[2], outer[2] * (u[1] * u[1])]))
    if len(u) > 3:
        cube = u[1] * u[1] * u[1]
        found.append(_sum([outer[1] * u[3], outer[2] * (u[1] * u[2]) * 2.0, outer[3] * cube]))
    return found


def _sum(parts: Sequence[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def powers(u: Any, exponent: Any) -> Series:
    """Coefficients of ``u**exponent``, ``binomial(exponent, k) u**(exponent - k)``."""
    factors = [1.0 + 0.0 * exponent]
    for k in range(3):
        factors.append(factors[-1] * (exponent - k) / (k + 1))
    return [_power(u, exponent - k) * factor for k, factor in enumerate(factors)]


def _power(u: Any, exponent: Any) -> Any:
    """With the zeroth power one, also of an interval across zero."""
    flat = np.ravel(exponent)
    if (flat == 0.0).all():
        one = np.ones(np.shape(u.low if isinstance(u, Interval) else u))
        return Interval(one, one) if isinstance(u, Interval) else one
    return u**exponent


def exponential(u: Any) -> Series:
    """Coefficients of exp."""
    e = u.exp() if isinstance(u, Interval) else np.exp(u)
    return [e, e, e * 0.5, e * (1.0 / 6.0)]


def logarithm(u: Any) -> Series:
    """Coefficients of log."""
    value = u.log() if isinstance(u, Interval) else np.log(u)
    one = np.array(-1.0)
    return [value, _power(u, one), _power(u, 2.0 * one) * -0.5, _power(u, 3.0 * one) * (1.0 / 3.0)]


def hyperbolic_tangent(u: Any) -> Series:
    """Coefficients of tanh: 1 - t^2, -t (1 - t^2), (1 - t^2) (3 t^2 - 1) / 3."""
    t = u.tanh() if isinstance(u, Interval) else np.tanh(u)
    square = t ** np.array(2.0)
    rest = _shifted(square * -1.0, 1.0)
    return [t, rest, t * rest * -1.0, rest * _shifted(square * 3.0, -1.0) * (1.0 / 3.0)]


def _shifted(value: Any, by: float) -> Any:
    return Interval(value.low + by, value.high + by) if isinstance(value, Interval) else value + by


UNARY: dict[int, Callable[[Any], Series]] = {
    ca.OP_EXP: exponential,
    ca.OP_LOG: logarithm,
    ca.OP_TANH: hyperbolic_tangent,
    ca.OP_SQ: lambda u: powers(u, np.array(2.0)),
    ca.OP_INV: lambda u: powers(u, np.array(-1.0)),
    ca.OP_SQRT: lambda u: powers(u, np.array(0.5)),
}
"""Functions of one argument, by CasADi's code."""
