"""Which programs are sums of hinges, whichever way their slacks were written.

Every row holds one slack, or is a constraint on the coefficients alone. A slack has no part but its cost, and

- one row above which it is, and a floor: ``s >= h - a w, s >= 0``, the hinge;
- two opposite rows and a floor: ``s >= r - e, s >= -r - e, s >= 0``, a tube;
- two rows and no floor: ``s >= r, s >= -r``, an absolute value, ``s >= t r, s >= (t - 1) r``, a quantile's loss;
- or a row and a partner, ``u - v = r``, both not negative: a quantile's loss again.

What the slack of a row of either of the first two kinds costs may be a square instead.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.graphs.compiled import Compiled
from bilevel.programs.hinges.data_lines import DataLines
from bilevel.programs.hinges.form import HingeForm, Lines, Places, Sides, Slacks
from bilevel.programs.program import Program, Shape

FEWEST = 20
"""Hinges from which a program is taken for a sum of them rather than for a small quadratic program."""

_LARGEST = 20_000_000  # entries of A
_MOST = 1500  # coefficients
_KEPT = "_hinge_form"


def hinge_form(program: Program) -> HingeForm | None:
    """The form of a program, found once and kept with it; None where it is another kind of program."""
    if _KEPT not in program.__dict__:
        program.__dict__[_KEPT] = _recognised(program)
    found: HingeForm | None = program.__dict__[_KEPT]
    return found


def _recognised(program: Program) -> HingeForm | None:
    plain = not (program.discrete or program.squares or program.moving)
    rows_of = all(term.rows.loss.lines is not None for term in program.losses)
    few = program.n + sum(len(term.rows.target) for term in program.losses) < FEWEST
    written, program = program, program.without_losses
    if not plain or not rows_of or few or program.shape is Shape.NONLINEAR:
        return None
    rows = _Rows.of(program)
    if rows is None:
        return None
    hessian = program.hessian
    curved = np.zeros((2, program.n), dtype=bool)  # on the diagonal, and beside it
    where = np.array(hessian.sparsity().get_triplet(), dtype=int)
    curved[0, where[0][where[0] == where[1]]] = True
    curved[1, where[0][where[0] != where[1]]] = True
    table = _Table(program, rows, curved)
    if not table.fill():
        return None
    data = DataLines(written, table.places)
    table.add(data)
    if len(table.over) - table.alone < FEWEST:
        return None
    return _assembled(program, rows, table, data)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows' numbers: their matrix by rows, and what they are at zero, functions of x."""

    starts: Places
    columns: Places
    values: Array
    at_zero: ca.SX

    @classmethod
    def of(cls, program: Program) -> _Rows | None:
        """None where a coefficient moves with x."""
        jacobian = program.jacobian
        entries = ca.vertcat(ca.SX(0, 1), *jacobian.nonzeros())
        if not entries.is_constant():
            return None
        numbers = ca.Function("rows", [], [jacobian]).call([])[0].sparse().tocsr()
        numbers.eliminate_zeros()
        zero = ca.SX.zeros(program.n, 1)
        at_zero = ca.densify(ca.substitute(program.rows, program.variables, zero))
        return cls(numbers.indptr.astype(int), numbers.indices.astype(int), numbers.data, at_zero)

    def entries(self, row: int) -> tuple[Places, Array]:
        """Of one row."""
        part = slice(self.starts[row], self.starts[row + 1])
        return self.columns[part], self.values[part]


@dataclass
class _Table:
    """Lines, sides and slacks as they are found."""

    program: Program
    rows: _Rows
    curved: NDArray[np.bool_]
    line_rows: list[int] = field(default_factory=list)
    line_factors: list[float] = field(default_factory=list)
    line_bounds: list[float] = field(default_factory=list)
    over: list[int] = field(default_factory=list)
    under: list[int] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    partners: list[int] = field(default_factory=list)
    tubes: list[tuple[int, int]] = field(default_factory=list)
    slacks: list[tuple[int, int, float, float]] = field(default_factory=list)  # place, line, sign, floor
    alone: int = 0

    def fill(self) -> bool:
        """Take every row; False where one is of no kind that is known."""
        program = self.program
        held = defaultdict(list)
        for row in range(program.m):
            for place, value in zip(*self.rows.entries(row), strict=True):
                if self._may_be_slack(int(place)):
                    held[int(place)].append((row, float(value)))
        taken: dict[int, list[tuple[int, float]]] = {}
        by_row: dict[int, list[int]] = defaultdict(list)
        for place, uses in held.items():
            if self._is_slack(place, uses):
                for row, _ in uses:
                    by_row[row].append(place)
                taken[place] = uses
        for row, places in by_row.items():  # of several that could be the slack of a row one is
            equal = bool(program.equality[row])
            for place in places[: -2 if equal else -1]:
                taken.pop(place, None)
            if equal and len([place for place in places if place in taken]) != 2:
                return False
        self.of_row = {row: [q for q in places if q in taken] for row, places in by_row.items()}
        for row in range(program.m):
            if not self.of_row.get(row) and not self._alone(row):
                return False
        done = set[int]()
        for place, uses in taken.items():
            if place not in done and not self._take(place, uses, done):
                return False
        slack = {place for place, *_ in self.slacks}
        self.places = np.array([k for k in range(program.n) if k not in slack], dtype=int)
        return self._bounds() and 0 < len(self.places) <= _MOST

    def add(self, data: DataLines) -> None:
        """Take losses over rows, whose slacks are in no program, for what they are above."""
        for first, second, place, tube in data.slacks(len(self.line_rows)):
            if tube:
                owner = self._slack(place)
                self.tubes.append((self._side(first, owner=owner), self._side(second, owner=owner)))
            elif second < 0:
                self._side(first, owner=self._slack(place))
            else:
                self._side(first, under=second, owner=self._slack(place, line=second))
        self.line_rows += [self.program.m] * len(data.offsets)
        self.line_factors += [1.0] * len(data.offsets)
        self.line_bounds += data.offsets.tolist()

    def _may_be_slack(self, place: int) -> bool:
        program = self.program
        free_above = program.upper[place] == math.inf
        return free_above and not self.curved[1, place]

    def _is_slack(self, place: int, uses: list[tuple[int, float]]) -> bool:
        """Whether all rows with a variable are floors below it, or one an equality with a partner."""
        program, floor = self.program, float(self.program.lower[place])
        if len(uses) == 1 and program.equality[uses[0][0]]:
            return floor == 0.0 and not self.curved[0, place]
        for row, value in uses:
            low, high = program.row_lower[row], program.row_upper[row]
            below = (low > -math.inf and high == math.inf and value > 0.0) or (
                high < math.inf and low == -math.inf and value < 0.0
            )
            if not below:
                return False
        if len(uses) == 1:
            return math.isfinite(floor) and (floor == 0.0 or not self.curved[0, place])
        if len(uses) != 2:
            return False
        return (floor == -math.inf and not self.curved[0, place]) or floor == 0.0

    def _line(self, row: int, value: float) -> int:
        program = self.program
        low = float(program.row_lower[row])
        self.line_rows.append(row)
        self.line_factors.append(1.0 / value)
        self.line_bounds.append(low if low > -math.inf else float(program.row_upper[row]))
        return len(self.line_rows) - 1

    def _side(self, over: int, under: int = -1, floor: float = 0.0, owner: int = -1, partner: int = -1) -> int:
        for values, value in zip(
            (self.over, self.under, self.floors, self.owners, self.partners),
            (over, under, floor, owner, partner),
            strict=True,
        ):
            values.append(value)  # type: ignore[attr-defined]
        return len(self.over) - 1

    def _slack(self, place: int, line: int = -1, sign: float = 1.0, floor: float = 0.0) -> int:
        self.slacks.append((place, line, sign, floor))
        return len(self.slacks) - 1

    def _take(self, place: int, uses: list[tuple[int, float]], done: set[int]) -> bool:
        """Enter one slack; a partner with it."""
        floor = float(self.program.lower[place])
        if self.program.equality[uses[0][0]]:
            return self._pair(uses[0][0], done)
        lines = [self._line(row, value) for row, value in uses]
        if len(lines) == 1:
            self._side(lines[0], floor=floor, owner=self._slack(place, floor=floor))
        elif floor == -math.inf:
            self._side(lines[0], under=lines[1], owner=self._slack(place, line=lines[1]))
        else:
            if not self._opposite(uses):
                return False
            owner = self._slack(place)
            self.tubes.append((self._side(lines[0], owner=owner), self._side(lines[1], owner=owner)))
        return True

    def _pair(self, row: int, done: set[int]) -> bool:
        """``u - v = r``: both are hinges of the same row."""
        first, second = self.of_row[row]
        places, values = self.rows.entries(row)
        of_first, of_second = (float(values[places == k][0]) for k in (first, second))
        if of_first != -of_second:
            return False
        line = self._line(row, of_first)
        owner, partner = self._slack(first), self._slack(second, line=line, sign=-1.0)
        self._side(line, owner=owner, partner=partner)
        done |= {first, second}
        return True

    def _opposite(self, uses: list[tuple[int, float]]) -> bool:
        """Whether two rows, in units of their slack, are opposite in the coefficients."""
        found = []
        for row, value in uses:
            places, values = self.rows.entries(row)
            found.append({int(k): float(v) / value for k, v in zip(places, values, strict=True)})
        for (row, _), entries in zip(uses, found, strict=True):
            entries.pop(self.of_row[row][0], None)
        first, second = found
        size = max(map(abs, first.values()), default=0.0)
        return first.keys() == second.keys() and all(abs(first[k] + second[k]) <= 1e-12 * size for k in first)

    def _alone(self, row: int) -> bool:
        """A constraint on the coefficients alone, but no equality."""
        program = self.program
        low, high = float(program.row_lower[row]), float(program.row_upper[row])
        if low == high:
            return False
        for bound, factor in ((low, 1.0), (high, -1.0)):
            if math.isfinite(bound):
                self.line_rows.append(row)
                self.line_factors.append(factor)
                self.line_bounds.append(bound)
                self._side(len(self.line_rows) - 1)
                self.alone += 1
        return True

    def _bounds(self) -> bool:
        """Bounds of coefficients are constraints on them alone: rows of their own, numbered behind the program's."""
        program, self.bound_rows = self.program, list[tuple[int, float]]()
        for column, place in enumerate(self.places.tolist()):
            low, high = float(program.lower[place]), float(program.upper[place])
            if low == high:
                return False
            for bound, factor in ((low, 1.0), (high, -1.0)):
                if math.isfinite(bound):
                    self.line_rows.append(program.m)
                    self.line_factors.append(factor)
                    self.line_bounds.append(bound)
                    self.bound_rows.append((column, factor))
                    self._side(len(self.line_rows) - 1)
                    self.alone += 1
        return True


def _assembled(program: Program, rows: _Rows, table: _Table, data: DataLines) -> HingeForm | None:
    """The form, once it is known which variable is what."""
    places, count, p = table.places, len(table.line_rows), len(table.places)
    if max(count, len(table.over)) * p > _LARGEST:
        return None
    column = np.full(program.n, -1)
    column[places] = np.arange(p)
    matrix = np.zeros((count, p))
    matrix[count - len(data.offsets) :] = data.matrix
    first_bound = count - len(data.offsets) - len(table.bound_rows)
    for line in range(first_bound):
        where, values = rows.entries(table.line_rows[line])
        own = column[where] >= 0
        matrix[line, column[where[own]]] = table.line_factors[line] * values[own]
    for line, (j, factor) in enumerate(table.bound_rows, first_bound):
        matrix[line, j] = factor
    over, under = np.array(table.over, dtype=int), np.array(table.under, dtype=int)
    hinges = matrix[over] - np.where((under >= 0)[:, None], matrix[under], 0.0)
    sides = Sides(
        over,
        under,
        np.array(table.floors),
        np.array(table.owners, dtype=int),
        np.array(table.partners, dtype=int),
        np.array(table.tubes, dtype=int).reshape(-1, 2),
    )
    lines = Lines(
        matrix,
        np.array(table.line_rows, dtype=int),
        np.array(table.line_factors),
        np.array(table.line_bounds),
    )
    slacks = _slacks(program, table)
    still, entries, moving = _curvatures(program, column)
    bends = [program.hessian[int(k), int(k)] for k in slacks.places[slacks.curved]]
    zero = ca.SX.zeros(program.n, 1)
    slope, constant = ca.substitute([program.gradient, program.objective], [program.variables], [zero])
    numbers = (
        ca.vertcat(ca.densify(slope), data.costs),
        rows.at_zero,
        ca.vertcat(ca.SX(0, 1), *moving),
        ca.vertcat(ca.SX(0, 1), *bends),
    )
    compiled = Compiled([program.parameters], [*numbers, constant])
    hinges = np.ascontiguousarray(hinges)
    return HingeForm(program.n, places, hinges, lines, sides, slacks, entries, still, numbers, compiled)


def _slacks(program: Program, table: _Table) -> Slacks:
    places, lines, signs, floors = zip(*table.slacks, strict=True)
    implied = {place for place, _ in program.tops}
    return Slacks(
        np.array(places, dtype=int),
        np.array(lines, dtype=int),
        np.array(signs, dtype=float),
        np.where(np.isfinite(floors), floors, 0.0),
        np.array([s for s, k in enumerate(places) if k < program.n and table.curved[0, k]], dtype=int),
        np.array([place < program.n and place not in implied for place in places], dtype=bool),
    )


def _curvatures(program: Program, column: Places) -> tuple[Array, tuple[Places, Places], list[ca.SX]]:
    """The Hessian in the coefficients: what does not move, and where what moves goes."""
    hessian, p = program.hessian, int(column.max()) + 1
    still = np.zeros((p, p))
    where: tuple[list[int], list[int]] = [], []
    moving = []
    for i, j, entry in zip(*hessian.sparsity().get_triplet(), hessian.nonzeros(), strict=True):
        if column[i] < 0 or column[j] < 0:
            continue
        if entry.is_constant():
            still[column[i], column[j]] = float(entry)
        else:
            where[0].append(int(column[i]))
            where[1].append(int(column[j]))
            moving.append(entry)
    return still, (np.array(where[0], dtype=int), np.array(where[1], dtype=int)), moving
