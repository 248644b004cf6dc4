"""Rows that a follower's answer imposes on the high-point problem, in the language of mixed-integer linear programming.

Let ``y_B(v)`` be an affine answer (:mod:`bilevel.solvers.rounds.linear_answer`). At every bilevel-feasible point

    d'y <= d'y_B(v)   or   y_B(v) breaks one of its limits:

an answer that can be given cannot be better than the one that is given. Each alternative gets a binary, one of which
is 1; a binary at 1 enforces its alternative by an M that interval arithmetic proves large enough
(:mod:`bilevel.solvers. implied_bounds`), by a special ordered set where there is no such M. Alternatives that recur
share a binary; one over a single binary of the problem *is* that binary.

"Breaks" is strict. Where every variable of a limit is integer and its coefficients are fractions, the next value
beyond the limit is known and nothing is lost. Else the limit must be broken by a margin, twice the feasibility
tolerance: what breaks it by less than that counts as feasible everywhere else too. What the margin costs is seen by
asking for half of it (``relaxation(0.5)``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import casadi as ca
import numpy as np
from scipy import sparse

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.programs.program import Program
from bilevel.solvers.rounds.implied_bounds import Box
from bilevel.solvers.rounds.linear_answer import AffineAnswer, Limit, LinearFollower
from bilevel.solvers.rounds.spacing import spacing

FLOOR = "floor"
"""Name of the row that holds the objective above a number."""

_MARGIN = 2.0 * tolerances.FEASIBILITY  # half of it is still more than an engine overlooks


@dataclass(frozen=True)
class Alternative:
    """``row . v >= threshold + margin``, enforced where its literal is 1.

    The literal is a new binary, or variable ``variable`` of the problem itself (``negated``: one minus it).
    """

    row: Array
    threshold: float
    margin: float = 0.0
    variable: int = -1
    negated: bool = False


@dataclass
class AnswerCuts:
    """The rows collected so far.

    Parameters
    ----------
    program : Program
        The high-point problem, v its variables.
    box : Box
        Their ranges.
    """

    program: Program
    box: Box
    _alternatives: list[Alternative] = field(default_factory=list)
    _known: dict[Any, int] = field(default_factory=dict)
    _clauses: list[tuple[int, ...]] = field(default_factory=list)
    _answers: set[Any] = field(default_factory=set)

    @property
    def exact(self) -> bool:
        """Whether no alternative needs a margin."""
        return not any(a.margin for a in self._alternatives)

    def __len__(self) -> int:
        return len(self._clauses)

    def add(self, follower: LinearFollower, answer: AffineAnswer) -> bool:
        """Demand that a follower does no worse than with an answer where it is feasible; False if that is known."""
        if answer.key in self._answers:
            return False
        self._answers.add(answer.key)
        found = [self._no_worse(follower, answer)]
        for limit in answer.limits:
            found += [self._beyond(limit, sign) for sign in (1.0, -1.0)]
        if any(a is True for a in found):
            return True  # the box alone says that one alternative always holds
        clause = tuple(sorted({self._number(a) for a in found if isinstance(a, Alternative)}))
        self._clauses.append(clause)
        return True

    def _no_worse(self, follower: LinearFollower, answer: AffineAnswer) -> Alternative | bool:
        row = follower.slope @ answer.matrix
        row[follower.places] -= follower.slope
        value = float(follower.slope @ answer.constant)
        step = spacing(row, self.program.integer)
        if step:
            return self._alternative(row, math.ceil(-value / step - tolerances.FEASIBILITY) * step, step=step)
        return self._alternative(row, -value - tolerances.TIE * tolerances.scale(value))

    def _beyond(self, limit: Limit, sign: float) -> Alternative | bool:
        """The upper (sign 1) or lower (-1) limit is broken; False if it never is, True if it always is."""
        end = limit.upper if sign > 0 else limit.lower
        if not math.isfinite(end):
            return False
        row, threshold = sign * limit.row, sign * (end - limit.constant)
        step = spacing(row, self.program.integer)
        if step:
            beyond = (math.floor(threshold / step + tolerances.FEASIBILITY) + 1) * step
            return self._alternative(row, beyond, step=step)
        return self._alternative(row, threshold, margin=_MARGIN * tolerances.scale(end, limit.size))

    def _alternative(
        self, row: Array, threshold: float, *, margin: float = 0.0, step: float = 0.0
    ) -> Alternative | bool:
        """The alternative, or what the box alone says about it."""
        least, most = self.box.range(row)
        if most < threshold + 0.5 * (margin - step):
            return False
        if least >= threshold + margin:
            return True
        used = np.flatnonzero(row)
        if used.size == 1 and step and self._is_binary(int(used[0])):
            return Alternative(row, threshold, 0.0, int(used[0]), bool(row[used[0]] < 0))
        return Alternative(row, threshold, margin)

    def _is_binary(self, k: int) -> bool:
        return bool(self.program.integer[k]) and self.program.lower[k] == 0.0 and self.program.upper[k] == 1.0

    def _number(self, alternative: Alternative) -> int:
        used = np.flatnonzero(alternative.row)
        entries = tuple(np.round(alternative.row[used], 12))
        key = (alternative.variable, alternative.negated)
        if alternative.variable < 0:
            key = (tuple(used), entries, round(alternative.threshold, 12), alternative.margin)  # type: ignore[assignment]
        if key not in self._known:
            self._known[key] = len(self._alternatives)
            self._alternatives.append(alternative)
        return self._known[key]

    def relaxation(self, share: float = 1.0) -> Program:
        """The high-point problem with all rows, a share of each margin asked for."""
        build = _Build(self.program, self.box)
        literals = [build.literal(a, a.threshold + share * a.margin) for a in self._alternatives]
        for clause in self._clauses:
            build.clause([literals[number] for number in clause])
        return build.program()


class _Build:
    """Collects new variables and rows, and hands out the extended program."""

    def __init__(self, program: Program, box: Box) -> None:
        self._base, self._box = program, box
        self._rows: list[tuple[dict[int, float], float, float]] = []
        self._upper: list[float] = []
        self._integer: list[bool] = []
        self._sos1: list[tuple[int, int]] = []

    def _variable(self, upper: float, integer: bool) -> int:
        self._upper.append(upper)
        self._integer.append(integer)
        return self._base.n + len(self._upper) - 1

    def literal(self, alternative: Alternative, threshold: float) -> tuple[int, bool]:
        """The variable whose value 1 (``negated``: 0) enforces an alternative."""
        if alternative.variable >= 0:
            return alternative.variable, alternative.negated
        choice = self._variable(1.0, True)
        row = {int(k): float(alternative.row[k]) for k in np.flatnonzero(alternative.row)}
        least, _ = self._box.range(alternative.row)
        if math.isfinite(least):
            self._rows.append((row | {choice: -(threshold - least)}, least, math.inf))
        else:
            slack = self._variable(math.inf, False)
            self._rows.append((row | {slack: 1.0}, threshold, math.inf))
            self._sos1.append((slack, choice))
        return choice, False

    def clause(self, literals: list[tuple[int, bool]]) -> None:
        """At least one of some literals is 1."""
        row: dict[int, float] = {}
        for place, negated in literals:
            row[place] = row.get(place, 0.0) + (-1.0 if negated else 1.0)
        self._rows.append((row, 1.0 - sum(negated for _, negated in literals), math.inf))

    def program(self) -> Program:
        """The extended program."""
        base, count = self._base, len(self._upper)
        if not self._rows:
            return base
        entries = [(i, k, a) for i, (row, _, _) in enumerate(self._rows) for k, a in row.items()]
        where, which, values = zip(*entries, strict=True) if entries else ((), (), ())
        matrix = sparse.csc_matrix((values, (where, which)), shape=(len(self._rows), base.n + count))
        variables = ca.vertcat(base.variables, ca.SX.sym("answer", count))
        return replace(
            base,
            variables=variables,
            rows=ca.vertcat(base.rows, ca.DM(matrix) @ variables),
            row_lower=np.concatenate([base.row_lower, [low for _, low, _ in self._rows]]),
            row_upper=np.concatenate([base.row_upper, [high for _, _, high in self._rows]]),
            lower=np.concatenate([base.lower, np.zeros(count)]),
            upper=np.concatenate([base.upper, self._upper]),
            integer=np.concatenate([base.integer, np.array(self._integer, dtype=bool)]),
            names=(*base.names, *(f"answer[{k}]" for k in range(count))),
            row_names=(*base.row_names, *(f"answer row[{k}]" for k in range(len(self._rows)))),
            sos1=(*base.sos1, *self._sos1),
        )


def with_floor(program: Program, floor: float) -> Program:
    """The program with its objective held above a number."""
    return replace(
        program,
        rows=ca.vertcat(program.rows, program.objective),
        row_lower=np.append(program.row_lower, floor),
        row_upper=np.append(program.row_upper, np.inf),
        row_names=(*program.row_names, FLOOR),
    )
