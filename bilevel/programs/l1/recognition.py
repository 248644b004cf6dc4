"""Which programs are least squares with an l1 term, whichever way that was written.

Every row is a bound, or holds a variable t above a multiple of one coefficient, ``a w - t <= 0``; t has no other
part but its cost. Two variables at their bound zero whose columns in the data are opposite are ``w = u - v``: with the
Hessian ``[[h, e - h], [e - h, h]]`` between them f is a function of ``u - v`` plus ``e u v`` plus costs, and where
these are not negative one of the two is zero at an optimum. What else curves is on the diagonal.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.expressions.squares import SMALLEST
from bilevel.expressions.summands import summands
from bilevel.graphs.compiled import Compiled
from bilevel.programs.l1.form import Curvatures, L1Form, Tops
from bilevel.programs.program import Program, Shape

_KEPT = "_l1_form"
_LARGEST_WRITTEN_OUT = 4 * SMALLEST  # variables of a program whose squares are in its Hessian
_SAME = 1e-11  # entries of a Hessian this close, relative to its largest, are one
_RANK = 1e-13  # eigenvalues below this, relative to the largest, are zero; below minus this the program is not convex


def l1_form(program: Program) -> L1Form | None:
    """The form of a program, found once and kept with it; None where it is another kind of program."""
    if _KEPT not in program.__dict__:
        program.__dict__[_KEPT] = _recognised(program)
    found: L1Form | None = program.__dict__[_KEPT]
    return found


@dataclass(frozen=True, eq=False)
class _Data:
    """The squares in all variables, shape (k, n) and (k,), their common weight, and the rest of the Hessian.

    Of its upper triangle: what moves, and what stands on the diagonal and beside it; where no squares are kept all that
    stands, shape (n, n).
    """

    matrix: Array
    target: Array
    weight: ca.SX
    moving: list[tuple[int, int, ca.SX]]
    diagonal: Array
    beside: list[tuple[int, int, float]]
    whole: Array


def _recognised(program: Program) -> L1Form | None:
    if program.discrete or program.moving or not program.has_inequalities or program.shape is not Shape.QUADRATIC:
        return None
    if not program.squares and program.n > _LARGEST_WRITTEN_OUT:
        return None
    limits = program.lower.copy(), program.upper.copy()
    data = _data(program)
    tops = None if data is None else _above(program, data, limits)
    if data is None or tops is None:
        return None
    of_w = np.setdiff1d(np.arange(program.n), tops.places)
    pairs = _pairs(data, of_w, limits)
    plus = np.array([k for k in of_w.tolist() if k not in pairs.values()], dtype=int)
    minus = np.array([pairs.get(k, -1) for k in plus.tolist()], dtype=int)
    if not program.squares and not len(tops.places) and not pairs:
        return None  # bounds alone, few variables: a quadratic program like others
    lower, upper = limits[0][plus], limits[1][plus]
    lower[minus >= 0] = -math.inf
    if not ((lower <= 0.0) & (upper >= 0.0) & (lower < upper)).all():
        return None
    place = {int(k): j for j, k in enumerate(plus)} | {int(k): j for j, k in enumerate(minus) if k >= 0}
    owned = Tops(
        tops.places, np.array([place[k] for k in tops.owners.tolist()], dtype=int), tops.up, tops.down, tops.written
    )
    return _assembled(program, data, plus, minus, lower, upper, owned, place)


def _data(program: Program) -> _Data | None:
    """The numbers of the objective's second-order part; None where it has another structure."""
    n, p = program.n, program.parameters
    hessian = program.rest.hessian
    rows, columns = (np.array(k, dtype=int) for k in hessian.sparsity().get_triplet())
    entries = hessian.nonzeros()
    column = ca.vertcat(ca.SX(0, 1), *entries)
    moves = np.zeros(len(entries), dtype=bool)
    if len(entries) and p.numel():
        moves = np.array(ca.which_depends(column, p, 1, True), dtype=bool)
    values = ca.Function("still", [p], [column]).call([np.full(p.numel(), math.nan)])[0].full().reshape(-1)
    upper = rows < columns
    if program.squares and np.bincount(columns[rows != columns], minlength=n).max(initial=0) > 1:
        return None  # more than a partner
    still = np.where(moves, 0.0, values)
    moving = [(int(rows[k]), int(columns[k]), entries[k]) for k in np.flatnonzero(moves) if rows[k] <= columns[k]]
    diagonal = np.zeros(n)
    diagonal[rows[rows == columns]] = still[rows == columns]
    beside = [(int(rows[k]), int(columns[k]), float(still[k])) for k in np.flatnonzero(upper & (still != 0.0))]
    whole = np.zeros((0, n) if program.squares else (n, n))
    if len(whole):
        whole[rows, columns] = still
        for k, (i, j, entry) in enumerate(moving):  # the squares' part of an entry does not move
            whole[i, j] = whole[j, i] = known = _constant_summands(entry)
            moving[k] = i, j, entry - known
        diagonal = whole.diagonal().copy()
        beside = [(int(i), int(j), float(whole[i, j])) for i, j in zip(*np.nonzero(np.triu(whole, 1)), strict=True)]
    weights = program.weights if program.squares else ca.SX(0, 1)
    fixed = not (p.numel() and program.squares and ca.depends_on(weights, p))
    if not fixed and len(program.squares) > 1:
        return None
    shares = np.ones(len(program.squares))
    if fixed and program.squares:
        shares = ca.Function("weights", [p], [weights]).call([np.full(p.numel(), math.nan)])[0].full().reshape(-1)
        if not (shares > 0.0).all():
            return None
    blocks, targets = [np.zeros((0, n))], [np.zeros(0)]
    for share, square in zip(np.sqrt(shares), program.squares, strict=True):
        block = np.zeros((len(square.factor.target), n))
        block[:, square.places] = share * square.factor.matrix
        blocks.append(block)
        targets.append(share * square.factor.target)
    return _Data(
        np.vstack(blocks), np.concatenate(targets), ca.SX(1) if fixed else weights[0], moving, diagonal, beside, whole
    )


def _constant_summands(entry: ca.SX) -> float:
    return sum((factor * float(term) for term, factor in summands(entry) if term.is_constant()), 0.0)


def _above(program: Program, data: _Data, limits: tuple[Array, Array]) -> Tops | None:
    """The variables above multiples of one other; rows over one variable become its bounds, in place."""
    flat = ~(data.matrix.any(axis=0) | (data.diagonal != 0.0))
    flat[[k for i, j, _ in [*data.moving, *data.beside] for k in (i, j)]] = False
    pieces: dict[int, list[tuple[int, float]]] = defaultdict(list)
    if program.m:
        p, zero = program.parameters, ca.SX.zeros(program.n, 1)
        offset = ca.substitute(program.rows, program.variables, zero)
        if p.numel() and (ca.depends_on(program.jacobian, p) or ca.depends_on(offset, p)):
            return None
        found = ca.Function("rows", [p], [program.jacobian, ca.densify(offset)]).call([np.zeros(p.numel())])
        matrix, offset = found[0].sparse().tocsr(), found[1].full().reshape(-1)
        for row in range(program.m):
            part = slice(matrix.indptr[row], matrix.indptr[row + 1])
            entries = list(zip(matrix.indices[part].tolist(), matrix.data[part].tolist(), strict=True))
            low, high = program.row_lower[row] - offset[row], program.row_upper[row] - offset[row]
            if not _taken(entries, float(low), float(high), flat, limits, pieces):
                return None
    if set(np.flatnonzero(flat).tolist()) != pieces.keys():
        return None
    owners, up, down = [], [], []
    for place, slopes in pieces.items():
        steep = [slope for _, slope in slopes]
        low = limits[0][place]
        steep += [0.0] if low == 0.0 else []
        if len({owner for owner, _ in slopes}) > 1 or math.isfinite(limits[1][place]):
            return None
        if math.isfinite(low) and low != 0.0 and not (low < 0.0 and max(steep) >= 0.0 >= min(steep)):
            return None
        owners.append(slopes[0][0])
        up.append(max(steep))
        down.append(-min(steep))
    places = np.array(list(pieces), dtype=int)
    implied = {place for place, _ in program.tops}
    written = np.array([place not in implied for place in pieces], dtype=bool)
    return Tops(places, np.array(owners, dtype=int), np.array(up), np.array(down), written)


def _taken(
    entries: list[tuple[int, float]],
    low: float,
    high: float,
    flat: NDArray[np.bool_],
    limits: tuple[Array, Array],
    pieces: dict[int, list[tuple[int, float]]],
) -> bool:
    """Take one row for a bound, or for one above a multiple of a coefficient; False where it is neither."""
    entries = [(place, value) for place, value in entries if value != 0.0]
    if len(entries) == 1:
        (place, value) = entries[0]
        ends = sorted((low / value, high / value))
        limits[0][place], limits[1][place] = max(limits[0][place], ends[0]), min(limits[1][place], ends[1])
        return True
    if len(entries) != 2 or math.isfinite(low) == math.isfinite(high):
        return False
    sign, limit = (1.0, high) if math.isfinite(high) else (-1.0, low)
    (top, cost), (owner, slope) = sorted(entries, key=lambda entry: not flat[entry[0]])
    if limit != 0.0 or not flat[top] or flat[owner] or sign * cost >= 0.0:
        return False
    pieces[top].append((owner, slope / -cost))
    return True


def _pairs(data: _Data, of_w: NDArray[np.int_], limits: tuple[Array, Array]) -> dict[int, int]:
    """Positive parts and the negative parts that go with them."""
    split = [k for k in of_w.tolist() if limits[0][k] == 0.0 and limits[1][k] == math.inf]
    if len(data.whole):
        return _opposite_rows(data.whole, of_w, split)
    found = {}
    free = dict.fromkeys(split)
    for i, j in ((i, j) for i, j, _ in [*data.beside, *data.moving] if i != j):
        opposite = np.array_equal(data.matrix[:, i], -data.matrix[:, j])
        if opposite and i in free and j in free:
            found[i] = j
            del free[i], free[j]
    waiting: dict[bytes, list[int]] = defaultdict(list)
    for k in free:
        column = data.matrix[:, k]
        mate = waiting[(-column + 0.0).tobytes()]
        if mate:
            found[mate.pop(0)] = k
        else:
            waiting[(column + 0.0).tobytes()].append(k)
    return found


def _opposite_rows(still: Array, of_w: NDArray[np.int_], split: list[int]) -> dict[int, int]:
    """The same where the squares are in the Hessian: two rows are opposite but between the two variables."""
    slack = _SAME * float(np.abs(still).max(initial=0.0))
    found: dict[int, int] = {}
    for k, i in enumerate(split):
        for j in split[k + 1 :]:
            others = of_w[(of_w != i) & (of_w != j)]
            taken = {*found, *found.values()}
            if not taken & {i, j} and (np.abs(still[i, others] + still[j, others]) <= slack).all() and still[i, j] < 0:
                found[i] = j
    return found


def _assembled(
    program: Program,
    data: _Data,
    plus: NDArray[np.int_],
    minus: NDArray[np.int_],
    lower: Array,
    upper: Array,
    tops: Tops,
    place: dict[int, int],
) -> L1Form | None:
    """The form, once it is known which variable is what."""
    split = minus >= 0
    still = np.zeros((3, len(plus)))
    still[0], still[1, split] = data.diagonal[plus], data.diagonal[minus[split]]
    for i, j, value in data.beside:
        if place[i] == place[j]:
            still[2, place[i]] = value
        elif not len(data.whole):
            return None
    kinds = []
    for i, j, _ in data.moving:
        if place.get(i) is None or place.get(i) != place.get(j):
            return None
        kinds.append((2 if i != j else int(plus[place[i]] != i), place[i]))
    matrix, target, level = data.matrix[:, plus], data.target, 0.0
    compiled = _compiled(program, data)
    offset = np.zeros(len(plus))
    if len(data.whole):
        factored = _factored(data.whole[np.ix_(plus, plus)], _some_costs(compiled, plus, minus, program))
        if factored is None:
            return None
        matrix, target, offset = factored
        level, gram = float(target @ target), 2.0 * np.einsum("ij,ij->j", matrix, matrix)
        still += np.array([-gram, np.where(split, -gram, 0.0), np.where(split, gram, 0.0)])
        still[np.abs(still) <= _SAME * gram] = 0.0  # what rounding left
    entries, owners = (np.array(k, dtype=int) for k in (zip(*kinds, strict=True) if kinds else ([], [])))
    curvatures = Curvatures(entries, owners, still)
    matrix = np.ascontiguousarray(matrix)
    return L1Form(program.n, matrix, target, lower, upper, plus, minus, tops, curvatures, offset, compiled, level)


def _compiled(program: Program, data: _Data) -> Compiled:
    rest = program.rest
    zero = ca.SX.zeros(program.n, 1)
    slope, constant = ca.substitute([rest.gradient, rest.objective], [program.variables], [zero])
    moving = ca.vertcat(ca.SX(0, 1), *(entry for _, _, entry in data.moving))
    return Compiled([program.parameters], [ca.vertcat(data.weight, constant, ca.densify(slope), moving)])


def _some_costs(compiled: Compiled, plus: NDArray[np.int_], minus: NDArray[np.int_], program: Program) -> Array:
    """The linear costs of w at some parameters: whatever does not move among them belongs to the target."""
    costs = compiled(np.full(program.parameters.numel(), 0.5))[0][2 : 2 + program.n]
    found: Array = np.where(minus >= 0, 0.5 * (costs[plus] - costs[minus]), costs[plus])
    return np.where(np.isfinite(found), found, 0.0)


def _factored(hessian: Array, costs: Array) -> tuple[Array, Array, Array] | None:
    """R, t and what ``-2 R't`` is, of a Hessian ``2 R'R`` and linear costs; None where it is not semidefinite.

    In units in which its diagonal is one: what is left out as rounding is then no coefficient's whole column.
    """
    units = np.sqrt(np.maximum(hessian.diagonal(), 0.0))
    units[units == 0.0] = 1.0
    equal = hessian / (units[:, None] * units)
    values, vectors = np.linalg.eigh(0.5 * (equal + equal.T))
    size = float(np.abs(values).max(initial=0.0))
    if not size or values[0] < -_RANK * len(values) * size:
        return None
    kept = values > _RANK * len(values) * size
    roots = np.sqrt(0.5 * values[kept])
    matrix = roots[:, None] * vectors[:, kept].T * units
    target = -0.5 * (vectors[:, kept].T @ (costs / units)) / roots
    return matrix, target, -2.0 * (target @ matrix)
