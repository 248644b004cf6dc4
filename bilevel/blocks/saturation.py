"""Saturation: what more of the same brings less and less of, or at first more and more.

    hill               S = A^alpha / (A^alpha + K^alpha)             half at A = K; S-shaped where alpha > 1
    logistic           S = (1 - exp(-l A)) / (1 + exp(-l A)) = tanh(l A / 2)
    michaelis_menten   S = A / (A + K)
    tanh_saturation    S = tanh(A / K)
    root               S = A^alpha,  0 < alpha <= 1

The largest S is 1 (but for ``root``); the coefficient of the effect is the follower's. Powers are written as
exponentials of logarithms, so that no base is raised to overflow and the derivatives in A, alpha and K come from one
exponential; where A can be 0, 1e-26 is added to it within the logarithm, and S there is 1e-26^alpha, up to K, in place
of 0. Rows whose A is the number 0 (weeks before a channel's first spend) give the number 0. Let A be of the order of
one: divide spend by its largest.

Each gives a :class:`~bilevel.blocks.column.Column`; from numbers alone, an array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from bilevel.arrays import Array
from bilevel.blocks.column import (
    TINY,
    Column,
    as_column,
    entries_of,
    exp,
    is_none,
    is_number,
    log,
    named,
    positive_of,
    tanh,
)
from bilevel.errors import ModelError


def hill(carried: Any, exponent: Any, half: Any) -> Column | Array:
    """``A^alpha / (A^alpha + K^alpha)``, as ``1 / (1 + exp(-alpha (log A - log K)))``.

    Parameters
    ----------
    carried : column of T numbers or expressions
        A >= 0.
    exponent : number or Pyomo variable
        alpha > 0; beyond 10 the exponential may leave the range of a float.
    half : number or expression
        K > 0, in A's units: where S is one half. Robyn's is ``gamma * peak(carried)``.

    Raises
    ------
    ModelError
        If an argument is no column, no number, or can be none that is positive.

    Examples
    --------
    >>> from bilevel.blocks import hill
    >>> hill([0, 50, 100], 2.0, 50).round(12).tolist()
    [0.0, 0.5, 0.8]
    """
    entries = _entries(carried, "hill")
    power, point = positive_of(exponent, "hill(exponent)"), positive_of(half, "hill(half)")
    log_half = named(log(point))
    rows = [
        0.0 if is_none(entry) else 1 / (1 + exp(-power * (log(_above_zero(entry)) - log_half))) for entry in entries
    ]
    return as_column(rows, of=carried, log_half=log_half)


def logistic(carried: Any, rate: Any) -> Column | Array:
    """``(1 - exp(-l A)) / (1 + exp(-l A))``, as ``tanh(l A / 2)``.

    Parameters
    ----------
    carried : column of T numbers or expressions
        A >= 0.
    rate : number or Pyomo variable
        l > 0, per unit of A.

    Examples
    --------
    >>> from bilevel.blocks import logistic
    >>> logistic([0, 1, 2], 1.0).round(4).tolist()
    [0.0, 0.4621, 0.7616]
    """
    speed = named(positive_of(rate, "logistic(rate)") / 2)
    return _felt(carried, "logistic", lambda entry: tanh(speed * entry))


def michaelis_menten(carried: Any, half: Any) -> Column | Array:
    """``A / (A + K)``: half of the most at A = K.

    Parameters
    ----------
    carried : column of T numbers or expressions
        A >= 0.
    half : number or Pyomo variable
        K > 0, in A's units.

    Examples
    --------
    >>> from bilevel.blocks import michaelis_menten
    >>> michaelis_menten([0, 50, 150], 50).tolist()
    [0.0, 0.5, 0.75]
    """
    point = positive_of(half, "michaelis_menten(half)")
    return _felt(carried, "michaelis_menten", lambda entry: entry / (entry + point))


def tanh_saturation(carried: Any, scale: Any) -> Column | Array:
    """``tanh(A / K)``.

    Parameters
    ----------
    carried : column of T numbers or expressions
        A >= 0.
    scale : number or Pyomo variable
        K > 0, in A's units: S is 0.76 there. pymc-marketing's ``b tanh(x / (b c))`` has K = b c, and b in the
        coefficient.

    Examples
    --------
    >>> from bilevel.blocks import tanh_saturation
    >>> tanh_saturation([0, 50, 100], 50).round(4).tolist()
    [0.0, 0.7616, 0.964]
    """
    point = positive_of(scale, "tanh_saturation(scale)")
    return _felt(carried, "tanh_saturation", lambda entry: tanh(entry / point))


def root(carried: Any, exponent: Any) -> Column | Array:
    """``A^alpha`` with alpha in (0, 1]: it never levels off.

    Parameters
    ----------
    carried : column of T numbers or expressions
        A >= 0.
    exponent : number or Pyomo variable
        alpha; keep it above 0.2 where A can be 0 without being the number 0, for 1e-26^0.2 = 6e-6 stands for 0.

    Examples
    --------
    >>> from bilevel.blocks import root
    >>> root([0, 4, 9], 0.5).round(12).tolist()
    [0.0, 2.0, 3.0]
    """
    power = positive_of(exponent, "root(exponent)")
    return _felt(carried, "root", lambda entry: exp(power * log(_above_zero(entry))))


class Curve(NamedTuple):
    """A saturation by its name: its function of A and of its parameters, and ``A dS/dA`` from A, S and them."""

    parameters: tuple[str, ...]
    apply: Callable[..., Any]
    lift: Callable[..., Any]


CURVES = {
    "hill": Curve(("alpha", "gamma"), hill, lambda a, s, alpha, half: alpha * s * (1 - s)),
    "logistic": Curve(("rate",), logistic, lambda a, s, rate: rate / 2 * a * (1 - s**2)),
    "michaelis_menten": Curve(("gamma",), michaelis_menten, lambda a, s, half: s * (1 - s)),
    "tanh": Curve(("gamma",), tanh_saturation, lambda a, s, scale: a / scale * (1 - s**2)),
    "root": Curve(("alpha",), root, lambda a, s, alpha: alpha * s),
    "none": Curve((), lambda a: as_column(entries_of(a, "carried")), lambda a, s: s),
}
"""By name; the parameters are handed on in the order of their names here, ``gamma`` in the units of A."""


def _felt(carried: Any, called: str, of_one: Callable[[Any], Any]) -> Column | Array:
    """What each entry of a column comes to; the number 0 where nothing is carried."""
    rows = [0.0 if is_none(entry) else of_one(entry) for entry in _entries(carried, called)]
    return as_column(rows, of=carried)


def _entries(carried: Any, called: str) -> list[Any]:
    entries = entries_of(carried, f"{called}(carried)")
    for t, entry in enumerate(entries):
        if is_number(entry) and entry < 0:
            raise ModelError(f"{called}(carried) is {entry:g} at row {t}; spend carried over cannot be negative")
    return entries


def _above_zero(entry: Any) -> Any:
    return entry if is_number(entry) else entry + TINY
