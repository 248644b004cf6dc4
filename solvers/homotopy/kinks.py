"""Variables that stand for the kink of another one, and the rows that say so: taken out of a program.

``t >= a w`` and ``t >= -b w`` hold t above an absolute value or the kink of a quantile. Where t costs something and has
no other part, it is ``a z+ + b z-`` of ``w = z+ - z-`` with both parts at least zero.
"""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.programs.program import Program

Kink = tuple[int, int, float, float]


def without_kinks(
    program: Program,
    rows: sp.csr_array,
    rest: sp.csr_array,
    offset: Array,
    costs: Array,
    ends: tuple[float, float],
) -> tuple[NDArray[np.int_], list[Kink]]:
    """Rows that stay, and ``(t, w, a, b)`` of every variable ``t = max(a w, -b w)`` that costs."""
    by_column: dict[int, list[int]] = defaultdict(list)
    entries = [
        dict(zip(rows.indices[a:b].tolist(), rows.data[a:b].tolist(), strict=True))
        for a, b in zip(rows.indptr, rows.indptr[1:], strict=False)
    ]
    for i, row in enumerate(entries):
        for j in row:
            by_column[j].append(i)
    curved = np.zeros(program.n, dtype=bool)
    curved[rest.indices] = True
    for square in program.squares:
        curved[square.places] = True
    gone: set[int] = set()
    tops: set[int] = set()
    found: list[Kink] = []
    for t in range(program.n):
        own = by_column[t]
        bound = math.isfinite(program.upper[t]) or program.lower[t] > 0.0
        if curved[t] or bound or len(own) != 2 or min(at_ends(costs[:, t], ends)) < 0.0:
            continue
        slopes = [piece for piece in (_piece(entries[i], t, i, program, offset) for i in own) if piece is not None]
        if len(slopes) < 2 or slopes[0][0] != slopes[1][0]:
            continue
        w, (low, high) = slopes[0][0], sorted(slope for _, slope in slopes)
        if not low <= 0.0 <= high or low == high or not program.lower[w] <= 0.0 <= program.upper[w]:
            continue
        if w not in tops and not gone.intersection(own):
            tops.add(t)
            found.append((t, w, high, -low))
            gone.update(own)
    return np.array([i for i in range(program.m) if i not in gone], dtype=int), found


def _piece(row: dict[int, float], t: int, i: int, program: Program, offset: Array) -> tuple[int, float] | None:
    """The variable and its slope of ``t >= slope * w``; None for another row."""
    if len(row) != 2 or offset[:, i].any():
        return None
    other = next(j for j in row if j != t)
    limit = program.row_upper[i] if row[t] < 0.0 else program.row_lower[i]
    beyond = program.row_lower[i] if row[t] < 0.0 else program.row_upper[i]
    return (other, -row[other] / row[t]) if limit == 0.0 and math.isinf(beyond) else None


def at_ends(pair: Array, ends: tuple[float, float]) -> tuple[float, float]:
    """``pair[0] + s pair[1]`` at both ends of s."""
    return float(pair[0] + ends[0] * pair[1]), float(pair[0] + ends[1] * pair[1])
