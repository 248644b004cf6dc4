"""The range of every variable, where linear rows say more than its declared bounds.

Many sources write ``y >= 0`` as a constraint. What needs a box, be it a proof of convexity, a bound on answers or a
search, would find none. Here each linear row narrows the ranges of its variables by those of the others
(Savelsbergh 1994, doi 10.1287/ijoc.6.4.445, section 1.1), over and over until little is gained.

A leader's variable is narrowed by rows over x alone and by the followers' (an x for which a follower has no feasible y
is no point of the problem), a follower's by his own rows: what he may not do, whatever the leader hopes for. Where the
rows leave nothing, the declared bounds stand.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyomo.common.errors import InfeasibleConstraintException
from pyomo.contrib.fbbt.fbbt import fbbt
from pyomo.repn import generate_standard_repn

from bilevel.arrays import Array
from bilevel.expressions.terms import degree_of
from bilevel.reading.pieces import is_category, numeric_bounds
from bilevel.reading.problem import Problem
from bilevel.reading.variables import ends_of, names_of

_MOST_TERMS = 20_000  # in all rows together; beyond, only declared bounds count
_MOST_CURVED = 200  # nonlinear rows, which are walked through node by node
_PASSES = 10
_WORTH = 1e-3  # relative narrowing that counts
_MARGIN = 1e-9  # by which ranges are widened, relative: more than rounding


@dataclass
class _Row:
    """``low <= coefficients . v[places] <= high``."""

    places: Array
    coefficients: Array
    low: float
    high: float


def ranges_of(problem: Problem) -> dict[str, tuple[float, float]]:
    """Lower and upper end by the variable's name, infinite where nothing bounds it; not for categories.

    Raises
    ------
    ModelError
        If a declared bound is no number.
    """
    variables = [v for v in problem.variables if not is_category(v)]
    variables += [v for follower in problem.followers for v in follower.variables]
    low, high = ends_of(variables)
    declared = low.copy(), high.copy()
    if not np.isfinite([low, high]).all():
        places = {id(var): k for k, var in enumerate(variables)}
        rows, curved = _rows(problem, places)
        with np.errstate(invalid="ignore"):
            for _ in range(_PASSES):
                if not sum(_narrow(row, low, high) for row in rows):
                    break
        _narrow_by_curved(curved, variables, low, high)
        if (low > high).any():  # no point is feasible; intervals turned round would prove anything
            low, high = declared
    return dict(zip(names_of(variables), zip(low.tolist(), high.tolist(), strict=True), strict=True))


def _rows(problem: Problem, places: dict[int, int]) -> tuple[list[_Row], list[Any]]:
    """The linear rows, and the other constraints."""
    found: list[_Row] = []
    curved: list[Any] = []
    terms = 0
    constraints = [*problem.x_only, *(c for follower in problem.followers for c in follower.constraints)]
    for constraint in constraints:
        form = _linear_form(constraint.body)
        if form is None or not all(id(var) in places for var in form.linear_vars):
            curved.append(constraint)
            continue
        terms += len(form.linear_vars)
        if terms > _MOST_TERMS:
            return [], []
        low, high = constraint.lb, constraint.ub
        found.append(
            _Row(
                np.array([places[id(var)] for var in form.linear_vars], dtype=int),
                np.array(form.linear_coefs, dtype=float),
                -math.inf if low is None else float(low) - float(form.constant),
                math.inf if high is None else float(high) - float(form.constant),
            )
        )
    return [row for row in found if len(row.places)], curved if len(curved) <= _MOST_CURVED else []


def _narrow_by_curved(constraints: list[Any], variables: list[Any], low: Array, high: Array) -> None:
    """The same for nonlinear rows, by Pyomo's own propagation, which works on the variables' bounds and back."""
    declared = [(var.lower, var.upper) for var in variables]
    try:
        for k, var in enumerate(variables):
            _set_bounds(var, low[k], high[k])
        for constraint in constraints:
            with suppress(InfeasibleConstraintException, NotImplementedError, ArithmeticError, ValueError):
                fbbt(constraint, max_iter=_PASSES)
        for k, var in enumerate(variables):
            bottom, top = numeric_bounds(var)
            if bottom is not None and bottom > low[k]:
                low[k] = bottom - _MARGIN * max(1.0, abs(bottom))
            if top is not None and top < high[k]:
                high[k] = top + _MARGIN * max(1.0, abs(top))
    finally:
        for var, (bottom, top) in zip(variables, declared, strict=True):
            var.setlb(bottom)
            var.setub(top)


def _set_bounds(var: Any, low: float, high: float) -> None:
    var.setlb(low if math.isfinite(low) else None)
    var.setub(high if math.isfinite(high) else None)


def _linear_form(body: Any) -> Any | None:
    """What a linear body is made of; None for others, told apart before any product is written out."""
    if degree_of(body) not in (0, 1):
        return None
    return generate_standard_repn(body, compute_values=True, quadratic=False)


def _narrow(row: _Row, low: Array, high: Array) -> int:
    """Narrow the variables of one row; how many ends moved."""
    a, moved = row.coefficients, 0
    least = np.where(a > 0, a * low[row.places], a * high[row.places])
    most = np.where(a > 0, a * high[row.places], a * low[row.places])
    if not (_tells(row.high, least) or _tells(row.low, most)):
        return 0
    for j, k in enumerate(row.places):
        rest = float(np.delete(least, j).sum()), float(np.delete(most, j).sum())
        ends = (row.low - rest[1]) / a[j], (row.high - rest[0]) / a[j]
        bottom, top = ends if a[j] > 0 else (ends[1], ends[0])
        for_bottom, for_top = (most, least) if a[j] > 0 else (least, most)
        if not _exact(a[j] * bottom, row, np.delete(for_bottom, j)):
            bottom -= _MARGIN * max(1.0, abs(bottom))
        if not _exact(a[j] * top, row, np.delete(for_top, j)):
            top += _MARGIN * max(1.0, abs(top))
        if math.isfinite(bottom) and bottom > low[k] + _WORTH * max(1.0, abs(bottom)):
            low[k], moved = bottom, moved + 1
        if math.isfinite(top) and top < high[k] - _WORTH * max(1.0, abs(top)):
            high[k], moved = top, moved + 1
    return moved


def _tells(limit: float, terms: Array) -> bool:
    """Whether a limit narrows any term: it is there, and no two others are without end."""
    return math.isfinite(limit) and int(np.isfinite(terms).sum()) > len(terms) - 2


def _exact(end: float, row: _Row, rest: Array) -> bool:
    """Whether an end of a term is the row's limit as it stands: the other terms are zero, nothing was rounded."""
    return end in (row.low, row.high) and not rest.any()
