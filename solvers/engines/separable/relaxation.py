"""The mixed-integer linear relaxation of a separable program: every curve replaced by the lines below it.

Several pieces of one curve are told apart by binaries in the multiple-choice form, whose linear relaxation is the
convex hull of each curve's lines (Vielma, Ahmed and Nemhauser 2010, doi 10.1287/opre.1090.0721). Columns and rows are
of magnitude one before HiGHS sees them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import highspy
import numpy as np
from scipy import sparse

from bilevel import deadline, tolerances
from bilevel.arrays import Array
from bilevel.programs.answer import Status
from bilevel.programs.program import Program
from bilevel.solvers.engines.separable.curve import CurvedFunction
from bilevel.solvers.engines.separable.envelope import Envelope
from bilevel.solvers.engines.separable.sums import Direction, Separable, extent
from bilevel.solvers.libraries.quiet_highs import quiet_highs

OBJECTIVE = -1
"""Stands for the objective where a row's number is asked for."""

_MODEL = highspy.HighsModelStatus
_SLACK = 1e-8  # of the objective's largest term: by which HiGHS's bound may be off, its tolerances being 1e-9


@dataclass
class Curve:
    """One curved term of one function.

    Attributes
    ----------
    row : int
        Of which function; :data:`OBJECTIVE` or a row's number.
    sign : float
        -1 where the function is bounded from below: then its negative is what has to be low.
    direction : tuple
        Of its argument.
    low, high : float
        The range of that.
    envelope : Envelope
        Of sign times the term.
    """

    row: int
    sign: float
    direction: Direction
    low: float
    high: float
    envelope: Envelope

    def along(self, y: Array) -> float:
        """The argument at a point."""
        total = sum(weight * y[place] for place, weight in self.direction)
        return float(min(max(total, self.low), self.high))


def curves_of(functions: Sequence[Separable], program: Program) -> list[Curve]:
    """What is curved in the objective, given last, and in the rows; twice where a row has both bounds."""
    found = []
    for row, function in enumerate(functions):
        last = row == program.m
        signs = [1.0] if last or math.isfinite(program.row_upper[row]) else []
        signs += [-1.0] if not last and math.isfinite(program.row_lower[row]) else []
        for direction, curved in function.curved.items():
            low, high = extent(direction, program.lower, program.upper)
            for sign in signs:
                envelope = Envelope(CurvedFunction([(sign * weight, node) for weight, node in curved]), low, high)
                found.append(Curve(OBJECTIVE if last else row, sign, direction, low, high, envelope))
    return found


@dataclass
class _Columns:
    """The columns of the relaxation as they are added."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)

    def add(self, lower: float, upper: float, integer: bool = False) -> int:
        self.lower.append(lower)
        self.upper.append(upper)
        self.integer.append(integer)
        return len(self.lower) - 1


Row = tuple[dict[int, float], float, float]


class Relaxation:
    """The relaxation with the envelopes as they stand.

    Parameters
    ----------
    program : Program
        Whose rows and bounds hold.
    functions : sequence of Separable
        The rows, then the objective.
    curves : sequence of Curve
        All of them.
    """

    def __init__(self, program: Program, functions: Sequence[Separable], curves: Sequence[Curve]) -> None:
        self._program, self._functions = program, functions
        self._columns, self._rows = _Columns(), list[Row]()
        both = np.isfinite(program.lower) & np.isfinite(program.upper) & ~program.integer
        self._origin = np.where(both, program.lower, 0.0)
        self._unit = np.where(both & (program.upper > program.lower), program.upper - program.lower, 1.0)
        for k in range(program.n):
            ends = (
                (program.lower[k] - self._origin[k]) / self._unit[k],
                (program.upper[k] - self._origin[k]) / self._unit[k],
            )
            self._columns.add(*ends, bool(program.integer[k]))
        terms: dict[tuple[int, float], list[tuple[int, float, float]]] = {}
        for curve in curves:
            terms.setdefault((curve.row, curve.sign), []).append(self._curve(curve))
        for row in range(program.m):
            self._row(row, terms)
        self._cost, self._constant = self._sum(functions[-1], terms.get((OBJECTIVE, 1.0), []), 1.0)

    def solve(self, time_limit: float, gap: float) -> tuple[Status, Array | None, float]:
        """The relaxation's optimum to a relative gap: status, y, and a lower bound on the program's objective."""
        highs = quiet_highs()
        unit = max([abs(weight) for weight in self._cost.values()] or [1.0]) or 1.0
        for option, value in (
            ("primal_feasibility_tolerance", tolerances.ENGINE),
            ("dual_feasibility_tolerance", tolerances.ENGINE),
            ("mip_feasibility_tolerance", tolerances.ENGINE),
            ("mip_rel_gap", gap),
            ("mip_abs_gap", 1e-9),
            ("time_limit", max(time_limit, 0.01)),
        ):
            highs.setOptionValue(option, value)
        highs.passModel(self._model(unit))
        highs.run()
        deadline.look()
        status, info = highs.getModelStatus(), highs.getInfo()
        if status == _MODEL.kInfeasible:
            return Status.INFEASIBLE, None, math.inf
        discrete = any(self._columns.integer)
        value = float(info.mip_dual_bound if discrete else info.objective_function_value)
        if status != _MODEL.kOptimal and not (discrete and info.primal_solution_status == 2):
            return Status.FAILED, None, -math.inf
        values = np.array(highs.getSolution().col_value)[: self._program.n]
        y = np.clip(self._origin + self._unit * values, self._program.lower, self._program.upper)
        y[self._program.integer] = np.round(y[self._program.integer])
        return Status.OPTIMAL, y, unit * (value - _SLACK) + self._constant

    def _model(self, unit: float) -> Any:
        columns, count = self._columns, len(self._columns.lower)
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = count, len(self._rows)
        lp.col_cost_ = np.array([self._cost.get(k, 0.0) / unit for k in range(count)])
        lp.col_lower_, lp.col_upper_ = np.array(columns.lower), np.array(columns.upper)
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        if any(columns.integer):
            lp.integrality_ = [kinds[int(i)] for i in columns.integer]
        entries = [(r, k, w) for r, (weights, _, _) in enumerate(self._rows) for k, w in weights.items()]
        rows, places, weights = (np.array(part) for part in zip(*entries, strict=True)) if entries else ([], [], [])
        matrix = sparse.csr_matrix((weights, (rows, places)), shape=(len(self._rows), count))
        lp.row_lower_ = np.array([low for _, low, _ in self._rows])
        lp.row_upper_ = np.array([high for _, _, high in self._rows])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
        model = highspy.HighsModel()
        model.lp_ = lp
        return model

    def _curve(self, curve: Curve) -> tuple[int, float, float]:
        """A column that stands for the curve from above its lines: ``origin + unit * column``."""
        envelope, pieces = curve.envelope, curve.envelope.pieces
        origin, unit = envelope.value(0.5 * (curve.low + curve.high)), envelope.size or 1.0
        origin = origin if math.isfinite(origin) else 0.0
        width = curve.high - curve.low or 1.0
        argument = {place: weight * self._unit[place] / width for place, weight in curve.direction}
        start = (sum(weight * self._origin[place] for place, weight in curve.direction) - curve.low) / width
        height = self._columns.add(-math.inf, math.inf)
        if len(pieces) == 1:
            for intercept, slope in pieces[0].lines:
                a = (intercept + slope * curve.low - origin + slope * width * start) / unit
                row = {place: -slope * width / unit * weight for place, weight in argument.items()}
                self._add({**row, height: 1.0}, a, math.inf)
            return height, origin, unit
        whole, one, parts = dict(argument), {}, {height: -1.0}
        for piece in pieces:
            chosen, part = self._columns.add(0.0, 1.0, integer=True), self._columns.add(0.0, 1.0)
            own = self._columns.add(-math.inf, math.inf)
            ends = (piece.low - curve.low) / width, (piece.high - curve.low) / width
            self._add({part: 1.0, chosen: -ends[0]}, 0.0, math.inf)
            self._add({part: 1.0, chosen: -ends[1]}, -math.inf, 0.0)
            for intercept, slope in piece.lines:
                a = (intercept + slope * curve.low - origin) / unit
                self._add({own: 1.0, part: -slope * width / unit, chosen: -a}, 0.0, math.inf)
            whole[part], one[chosen], parts[own] = -1.0, 1.0, 1.0
        self._add(whole, -start, -start)
        self._add(one, 1.0, 1.0)
        self._add(parts, 0.0, 0.0)
        return height, origin, unit

    def _sum(
        self, function: Separable, terms: Sequence[tuple[int, float, float]], sign: float
    ) -> tuple[dict[int, float], float]:
        """``sign * function`` with its curves' columns in their place: weights and a constant."""
        constant = sign * function.constant
        weights: dict[int, float] = {}
        for place, weight in function.linear.items():
            constant += sign * weight * self._origin[place]
            weights[place] = sign * weight * self._unit[place]
        for column, origin, unit in terms:
            constant += origin
            weights[column] = unit
        return weights, constant

    def _row(self, row: int, terms: dict[tuple[int, float], list[tuple[int, float, float]]]) -> None:
        function, program = self._functions[row], self._program
        for sign, side in ((1.0, program.row_upper[row]), (-1.0, -program.row_lower[row])):
            if math.isfinite(side):
                weights, constant = self._sum(function, terms.get((row, sign), []), sign)
                self._add(weights, -math.inf, side - constant)

    def _add(self, weights: dict[int, float], low: float, high: float) -> None:
        """A row, by its largest weight."""
        size = max([abs(weight) for weight in weights.values()] or [1.0]) or 1.0
        self._rows.append(({k: w / size for k, w in weights.items() if w}, low / size, high / size))
