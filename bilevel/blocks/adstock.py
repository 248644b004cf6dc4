"""Carry-over of advertising: adstock, what a week feels of its own spend and of that of the weeks before.

    geometric    A[t] = x[t] + theta A[t-1]                                             (Broadbent 1979)
    delayed      A[t] = sum_k theta^((k - delay)^2) x[t-k],   k = 0 ... length - 1      (Jin et al. 2017, eq. 2)
    Weibull      weights over the lags 1, 2, ... from the density or the survival of a Weibull variable (Robyn)
    binomial     A[t] = sum_k (1 - k/length)^(1/theta - 1) x[t-k]                       (Meridian)

The recursion remembers for ever, the others for ``length`` weeks; a recursion cut off after ``length`` weeks is
``geometric_adstock(..., length=...)``, which is what pymc-marketing fits. *Normalised* means that the weights sum to
one: a steady spend x then carries to x, and decay no longer trades against the coefficient.

Every function takes numbers (list, array, pandas Series) or expressions for the spend, numbers or Pyomo variables for
the parameters, and gives a :class:`~bilevel.blocks.column.Column`; from numbers alone, an array.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

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
    range_of,
    scalar_of,
)
from bilevel.errors import ModelError
from bilevel.language.formulas import maximum


def geometric_adstock(
    spend: Any, decay: Any, *, carry_in: Any = 0.0, normalised: bool = False, length: int | None = None
) -> Column | Array:
    """``A[t] = x[t] + theta A[t-1]``: each week keeps a share theta of what the week before it felt.

    Parameters
    ----------
    spend : column of T numbers or expressions
        x.
    decay : number or Pyomo variable
        theta, from 0 to 1; at 1 nothing is ever forgotten (and the normalised form of the recursion is 0).
    carry_in : number or expression
        A in the week before the first: what older campaigns left behind.
    normalised : bool
        Multiply by ``1 - theta``, the reciprocal of the weights' sum.
    length : int, optional
        Forget after so many weeks: the weights ``1, theta, ..., theta^(length-1)``, for which ``normalised`` divides by
        their sum. There is no ``carry_in`` then; put earlier weeks in front.

    Raises
    ------
    ModelError
        If an argument is no column, no number, or out of its range.

    Examples
    --------
    >>> from bilevel.blocks import geometric_adstock
    >>> geometric_adstock([100, 0, 0, 40], 0.5).tolist()
    [100.0, 50.0, 25.0, 52.5]
    >>> geometric_adstock([100, 0, 0, 40], 0.5, normalised=True, carry_in=40).tolist()
    [60.0, 30.0, 15.0, 27.5]
    """
    rate = _share(decay, "geometric_adstock(decay)")
    if length is not None:
        if not is_number(carry_in) or carry_in != 0.0:
            raise ModelError("geometric_adstock: carry_in has no meaning with a length; put earlier weeks in front")
        return _lagged(spend, _powers(rate, _whole(length)), normalised, "geometric_adstock(spend)")
    entries = entries_of(spend, "geometric_adstock(spend)")
    before = scalar_of(carry_in, "geometric_adstock(carry_in)")
    if is_number(rate) and is_number(before) and all(map(is_number, entries)):
        carried = np.array(list(accumulate(entries, lambda kept, x: x + rate * kept, initial=before))[1:], dtype=float)
        return carried * (1 - rate) if normalised else carried
    column = Column(entries)
    for t, entry in enumerate(entries):
        if not is_none(before):
            column[t].set_value(entry + rate * before)
        before = entry if is_none(before) and is_number(entry) else column[t]
    _remember(column, entries, rate)
    return _times(column, 1 - rate) if normalised else column


def delayed_adstock(spend: Any, decay: Any, delay: Any, *, length: int = 13, normalised: bool = True) -> Column | Array:
    """Weights ``theta^((k - delay)^2)`` over the lags k = 0 ... length - 1: the effect peaks ``delay`` weeks later.

    Parameters
    ----------
    spend : column of T numbers or expressions
        In the weeks before the first there was none.
    decay, delay : number or Pyomo variable
        theta from 0 to 1 (at 0 the lag nearest to the delay has all the weight), and the lag of the peak.
    length : int
        How many weeks are remembered.
    normalised : bool
        Divide the weights by their sum.

    Examples
    --------
    >>> from bilevel.blocks import delayed_adstock
    >>> delayed_adstock([100, 0, 0, 0], 0.5, 1, length=3).tolist()
    [25.0, 50.0, 25.0, 0.0]
    """
    rate, peak = _share(decay, "delayed_adstock(decay)"), scalar_of(delay, "delayed_adstock(delay)")
    steepness = named(log(rate + TINY))
    weights = [exp((k - peak) ** 2 * steepness) for k in range(_whole(length))]
    return _lagged(spend, weights, normalised, "delayed_adstock(spend)")


def weibull_adstock(
    spend: Any, shape: Any, scale: Any, *, length: int = 13, kind: str = "pdf", normalised: bool = True
) -> Column | Array:
    """Weights from a Weibull variable over the lags k = 1 ... length (the week itself is the first).

    ``"pdf"``: its density at k, less the smallest and over the largest such difference, so that the greatest weight is
    1 and the least 0. ``"cdf"``: ``w[1] = 1``, ``w[k+1] = w[k] P(X > k)``. As in Robyn and pymc-marketing, except that
    ``scale`` is a number of weeks and not rounded to whole ones (Robyn's is a share of the table's length, rounded: the
    error is then a staircase in it).

    Parameters
    ----------
    spend : column of T numbers or expressions
        In the weeks before the first there was none.
    shape, scale : number or Pyomo variable
        Positive; ``scale`` in weeks.
    length : int
        How many weeks are remembered.
    kind : {"pdf", "cdf"}
        Which weights.
    normalised : bool
        Divide the weights by their sum.

    Examples
    --------
    >>> from bilevel.blocks import weibull_adstock
    >>> weibull_adstock([1, 0, 0, 0], 2.0, 3.0, length=4, normalised=False).round(3).tolist()
    [0.361, 1.0, 0.705, 0.0]
    """
    power, weeks = positive_of(shape, "weibull_adstock(shape)"), positive_of(scale, "weibull_adstock(scale)")
    count = _whole(length)
    if kind == "pdf":
        weights = _density_weights(power, weeks, count)
    elif kind == "cdf":
        weights = _survival_weights(power, weeks, count)
    else:
        raise ModelError(f"weibull_adstock(kind={kind!r}): there are 'pdf' and 'cdf'")
    return _lagged(spend, weights, normalised, "weibull_adstock(spend)")


def binomial_adstock(spend: Any, decay: Any, *, length: int = 9, normalised: bool = True) -> Column | Array:
    """Weights ``(1 - k/length)^(1/theta - 1)`` over the lags k = 0 ... length - 1 (Meridian's max_lag is one less).

    Parameters
    ----------
    spend : column of T numbers or expressions
        In the weeks before the first there was none.
    decay : number or Pyomo variable
        theta, above 0 and at most 1 (all lags alike).
    length : int
        How many weeks are remembered.
    normalised : bool
        Divide the weights by their sum.

    Examples
    --------
    >>> from bilevel.blocks import binomial_adstock
    >>> binomial_adstock([1, 0, 0, 0], 0.5, length=4, normalised=False).round(6).tolist()
    [1.0, 0.75, 0.5, 0.25]
    """
    rate = _share(decay, "binomial_adstock(decay)")
    limits = range_of(rate)
    if limits is not None and limits[0] <= 0:
        raise ModelError("binomial_adstock(decay): its least value is 0; it must be positive, such as 0.01")
    power = named(1 / rate - 1)
    count = _whole(length)
    weights = [1.0] + [exp(power * log(1 - k / count)) for k in range(1, count)]
    return _lagged(spend, weights, normalised, "binomial_adstock(spend)")


def lag_weights(kind: str, parameters: dict[str, float], length: int | None, normalised: bool) -> Array:
    """The weights of one impulse of spend, by the kind's own function: what a picture of the decay shows."""
    horizon = 27 if length is None else length
    impulse = [1.0] + [0.0] * (horizon - 1)
    return np.asarray(carried_over(kind, impulse, parameters, length, normalised), dtype=float)


def carried_over(kind: str, spend: Any, parameters: dict[str, Any], length: int | None, normalised: bool) -> Any:
    """The adstock of a kind by its name.

    Raises
    ------
    ModelError
        If there is no such kind.
    """
    if kind == "geometric":
        return geometric_adstock(spend, parameters["theta"], length=length, normalised=normalised)
    weeks = 13 if length is None else length
    if kind == "delayed":
        return delayed_adstock(spend, parameters["theta"], parameters["delay"], length=weeks, normalised=normalised)
    if kind in ("weibull_pdf", "weibull_cdf"):
        shape, scale = parameters["shape"], parameters["scale"]
        return weibull_adstock(spend, shape, scale, length=weeks, kind=kind[-3:], normalised=normalised)
    if kind == "binomial":
        return binomial_adstock(spend, parameters["theta"], length=weeks, normalised=normalised)
    raise ModelError(f"there is no adstock {kind!r}; there are geometric, delayed, weibull_pdf, weibull_cdf, binomial")


def _powers(rate: Any, count: int) -> list[Any]:
    """1, theta, theta^2, ...: each from the one before, so that theta = 0 is no power of zero."""
    powers: list[Any] = [1.0]
    for _ in range(1, count):
        powers.append(named(powers[-1] * rate))
    return powers


def _density_weights(power: Any, weeks: Any, count: int) -> list[Any]:
    """Of the density, without the factor that cancels, and in logarithms relative to the largest."""
    if count == 1:
        return [1.0]
    logs = []
    for k in range(1, count + 1):
        reach = named(log(k / weeks))
        logs.append(named((power - 1) * reach - exp(power * reach)))
    top = named(maximum(logs))
    raw = [named(exp(value - top)) for value in logs]
    least = named(-maximum([-value for value in raw]))
    return [(value - least) / (1 - least) if not is_number(least) or least < 1 else 1.0 for value in raw]


def _survival_weights(power: Any, weeks: Any, count: int) -> list[Any]:
    weights: list[Any] = [1.0]
    for k in range(1, count):
        weights.append(named(weights[-1] * exp(-exp(power * log(k / weeks)))))
    return weights


def _lagged(spend: Any, weights: list[Any], normalised: bool, called: str) -> Column | Array:
    """``A[t] = sum_k w[k] x[t-k]``; products with no spend are not written."""
    entries = entries_of(spend, called)
    shares = [named(weight) for weight in weights]
    if normalised:
        total = named(sum(shares))
        shares = [named(share / total) for share in shares]
    rows = []
    for t in range(len(entries)):
        felt = [shares[k] * entries[t - k] for k in range(min(t + 1, len(shares))) if not is_none(entries[t - k])]
        rows.append(sum(felt) if felt else 0.0)
    weighted = Column(shares) if not all(map(is_number, shares)) else None
    return as_column(rows, of=spend, weights=weighted)


def _times(column: Column, factor: Any) -> Column:
    share = named(factor)
    scaled = Column([share * member for member in column.values()], carried=column)
    scaled.flow = column.flow
    return scaled


def _remember(column: Column, entries: Sequence[Any], rate: Any) -> None:
    """What tells which weeks can be the peak: spend and the range of the decay, where both are known."""
    limits = range_of(rate)
    if limits is not None and limits[0] >= 0 and all(is_number(entry) and entry >= 0 for entry in entries):
        column.flow = (tuple(entries), *limits)


def _share(value: Any, called: str) -> Any:
    rate = scalar_of(value, called)
    limits = range_of(rate)
    if limits is not None and not 0 <= limits[0] <= limits[1] <= 1:
        raise ModelError(f"{called} may be {limits[0]:g} to {limits[1]:g}; it must be from 0 to 1")
    return rate


def _whole(length: Any) -> int:
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise ModelError(f"length is {length!r}; give a whole number of weeks from 1 up")
    return length
