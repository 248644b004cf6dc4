"""Losses of one row of data: functions of its prediction z and its target t, with two derivatives in z.

The names are those of the field: logistic (Cox 1958), Poisson with the logarithm as its link (Nelder and Wedderburn
1972), Huber (1964), the smooth hinge of Rennie and Srebro (2005) and the squared one. All of them are convex in z but
for the error of a classifier, which is what it is judged by and not what it is trained with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr.numeric_expr import Expr_if, MaxExpression

from bilevel.arrays import Array
from bilevel.errors import ModelError

Derivatives = tuple[Array, Array, Array]
Line = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Template:
    """One row in Pyomo: its variables z and t, and the loss."""

    prediction: Any
    target: Any
    expression: Any


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss of one row.

    Attributes
    ----------
    name : str
        For messages.
    formula : callable
        ``formula(z, t)`` as a Pyomo expression.
    derivatives : callable or None
        ``derivatives(z, t)`` of arrays: the losses, their first and their second derivatives in z. None where only the
        formula is known.
    convex : bool
        Whether it is known to be convex in z for every target that :attr:`refusal` accepts.
    smooth : bool
        Whether it has a second derivative everywhere, as far as is known.
    refusal : callable
        What is wrong with targets, shape (n,), or nothing.
    lines : callable or None
        ``lines(t)`` of targets, shape (n,), where the loss is the largest of lines ``offset - slope z``: offset and
        slope of each, shapes (n,); where there are three the last is zero, and the others nowhere both above it.
    jumps : bool
        Whether it is constant but for jumps, so that its slope says nothing.
    """

    name: str
    formula: Callable[[Any, Any], Any]
    derivatives: Callable[[Array, Array], Derivatives] | None = None
    convex: bool = False
    smooth: bool = True
    refusal: Callable[[Array], str] = lambda t: ""
    lines: Callable[[Array], tuple[Line, ...]] | None = None
    jumps: bool = False

    @cached_property
    def template(self) -> Template:
        """The formula in variables of its own."""
        z, t = pyo.Var(initialize=0.0), pyo.Var(initialize=0.0)
        z.construct()
        t.construct()
        return Template(z, t, self.formula(z, t))

    def values(self, z: Array, t: Array) -> Array:
        """The losses of many rows."""
        if self.derivatives is not None:
            return self.derivatives(z, t)[0]
        row, found = self.template, np.empty(len(z))
        for k, (prediction, target) in enumerate(zip(z.tolist(), t.tolist(), strict=True)):
            row.prediction.set_value(prediction)
            row.target.set_value(target)
            found[k] = pyo.value(row.expression)
        return found


def _logistic(z: Array, t: Array) -> Derivatives:
    margin = t * z
    small = np.exp(-np.abs(margin))
    share = 1.0 / (1.0 + small)
    other = small * share
    return np.log1p(small) - np.minimum(margin, 0.0), -t * np.where(margin >= 0.0, other, share), other * share


def _logistic_row(z: Any, t: Any) -> Any:
    return pyo.log(1.0 + pyo.exp(-t * z))


def _poisson(z: Array, t: Array) -> Derivatives:
    mean = np.exp(z)
    return mean - t * z, mean - t, mean


def _poisson_row(z: Any, t: Any) -> Any:
    return pyo.exp(z) - t * z


def _huber(z: Array, t: Array, delta: float) -> Derivatives:
    residual = z - t
    slope = np.clip(residual, -delta, delta)
    return slope * (residual - 0.5 * slope), slope, (np.abs(residual) <= delta).astype(float)


def _huber_row(z: Any, t: Any, delta: float) -> Any:
    residual = z - t
    flat = delta * abs(residual) - 0.5 * delta**2
    return Expr_if(IF=residual**2 <= delta**2, THEN=0.5 * residual**2, ELSE=flat)


def _squared_hinge(z: Array, t: Array) -> Derivatives:
    short = np.maximum(1.0 - t * z, 0.0)
    return short * short, -2.0 * t * short, 2.0 * (t * t) * (short > 0.0)


def _squared_hinge_row(z: Any, t: Any) -> Any:
    return MaxExpression([0.0, 1.0 - t * z]) ** 2


def _smooth_hinge(z: Array, t: Array) -> Derivatives:
    short = 1.0 - t * z
    slope = np.clip(short, 0.0, 1.0)
    return slope * (short - 0.5 * slope), -t * slope, (t * t) * ((short > 0.0) & (short < 1.0))


def _smooth_hinge_row(z: Any, t: Any) -> Any:
    short = 1.0 - t * z
    return Expr_if(IF=short >= 1.0, THEN=short - 0.5, ELSE=0.5 * MaxExpression([0.0, short]) ** 2)


def _of_lines(lines: Callable[[Array], tuple[Line, ...]], z: Array, t: Array) -> Derivatives:
    """The largest of the lines; at a kink the slope of the first."""
    found = lines(t)
    values = np.array([offset - slope * z for offset, slope in found])
    top = values.argmax(axis=0)[None]
    slopes = np.array([slope for _, slope in found])
    return np.take_along_axis(values, top, 0)[0], -np.take_along_axis(slopes, top, 0)[0], np.zeros(len(z))


def _hinge_lines(t: Array) -> tuple[Line, ...]:
    return (np.ones(len(t)), t), (np.zeros(len(t)), np.zeros(len(t)))


def _pinball_lines(t: Array, quantile: float) -> tuple[Line, ...]:
    over, under = np.full(len(t), quantile), np.full(len(t), quantile - 1.0)
    return (over * t, over), (under * t, under)


def _tube_lines(t: Array, epsilon: float) -> tuple[Line, ...]:
    one, none = np.ones(len(t)), np.zeros(len(t))
    return (t - epsilon, one), (-t - epsilon, -one), (none, none)


def _zero_one_row(z: Any, t: Any) -> Any:
    """One where a prediction above zero, or another one, is of the wrong class: zero itself is of class -1."""
    return Expr_if(IF=z <= 0.0, THEN=0.5 + 0.5 * t, ELSE=0.5 - 0.5 * t)


def _hinge_row(z: Any, t: Any) -> Any:
    return MaxExpression([0.0, 1.0 - t * z])


def _pinball_row(z: Any, t: Any, quantile: float) -> Any:
    return MaxExpression([quantile * (t - z), (quantile - 1.0) * (t - z)])


def _tube_row(z: Any, t: Any, epsilon: float) -> Any:
    return MaxExpression([0.0, t - z - epsilon, z - t - epsilon])


def _anything(t: Array) -> str:
    return ""


def _of_two_classes(t: Array) -> str:
    if np.isin(t, (-1.0, 1.0)).all():
        return ""
    cure = "; write 2 * y - 1" if np.isin(t, (0.0, 1.0)).all() else ""
    return f"the two classes must be -1 and 1, and y holds {t[~np.isin(t, (-1.0, 1.0))][0]:g}{cure}"


def _counts(t: Array) -> str:
    return "" if (t >= 0.0).all() else f"counts must not be negative, and y holds {t.min():g}"


_PLAIN = {
    "logistic": Loss("logistic", _logistic_row, _logistic, convex=True, refusal=_of_two_classes),
    "poisson": Loss("poisson", _poisson_row, _poisson, convex=True, refusal=_counts),
    "smooth_hinge": Loss(
        "smooth_hinge", _smooth_hinge_row, _smooth_hinge, convex=True, smooth=False, refusal=_of_two_classes
    ),
    "squared_hinge": Loss(
        "squared_hinge", _squared_hinge_row, _squared_hinge, convex=True, smooth=False, refusal=_of_two_classes
    ),
    "zero_one": Loss("zero_one", _zero_one_row, smooth=False, refusal=_of_two_classes, jumps=True),
}


def _bent(name: str, row: Callable[..., Any], lines: Callable[..., tuple[Line, ...]], **parameters: float) -> Loss:
    """The largest of some lines."""
    of_targets = partial(lines, **parameters)
    refusal = _of_two_classes if name == "hinge" else _anything
    known = partial(_of_lines, of_targets)
    return Loss(name, partial(row, **parameters), known, True, False, refusal, of_targets)


def loss_named(loss: Any, delta: float, quantile: float = 0.5, epsilon: float = 0.1) -> Loss:
    """A loss by its name, or made of a user's formula.

    Raises
    ------
    ModelError
        If there is none, ``delta`` or ``epsilon`` is no width, or ``quantile`` none.
    """
    if loss == "hinge":
        return _bent("hinge", _hinge_row, _hinge_lines)
    if loss == "pinball":
        if not 0.0 < quantile < 1.0:
            raise ModelError(f"rows_of('pinball', ...): quantile is {quantile}; it must be between 0 and 1")
        return _bent("pinball", _pinball_row, _pinball_lines, quantile=float(quantile))
    if loss == "epsilon_insensitive":
        if not 0.0 <= epsilon < np.inf:
            raise ModelError(f"rows_of('epsilon_insensitive', ...): epsilon is {epsilon}; it must not be negative")
        return _bent("epsilon_insensitive", _tube_row, _tube_lines, epsilon=float(epsilon))
    if callable(loss):
        return Loss(str(getattr(loss, "__name__", "formula")), loss)
    if loss == "huber":
        if not 0.0 < delta < np.inf:
            raise ModelError(f"rows_of('huber', ...): delta is {delta}; it must be above zero and finite")
        row, derivatives = partial(_huber_row, delta=float(delta)), partial(_huber, delta=float(delta))
        return Loss("huber", row, derivatives, convex=True, smooth=False)
    if loss not in _PLAIN:
        names = ", ".join(sorted([*_PLAIN, "epsilon_insensitive", "hinge", "huber", "pinball"]))
        raise ModelError(f"rows_of({loss!r}, ...): the losses are {names}, or a function (prediction, target)")
    return _PLAIN[loss]
