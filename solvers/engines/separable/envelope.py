"""A function of one number from below, by lines on pieces of its range that become finer where it matters.

Where the function is proved convex on a piece, tangents bound it; where it is proved concave, the chord; elsewhere the
chord less ``M w^2 / 8``, with M above the second derivative on the piece of width w (Adjiman, Dallwig, Floudas and
Neumaier 1998, doi 10.1016/S0098-1354(98)00027-1); where no M is known, the least value itself. All ranges of
derivatives are proved by interval arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from bilevel.arrays import Array
from bilevel.solvers.engines.separable.curve import CurvedFunction

Line = tuple[float, float]
"""Intercept and slope."""

Touch = tuple[float, float, float]
"""A point, the function's value and its slope there."""

_FIRST = 16  # pieces at the start
_PARTS = 4  # in which each is enclosed: ranges are tighter on shorter pieces
_MOST = 96  # pieces before anything is solved
_HALVINGS = 6
_GOOD = 2e-3  # of the function's own range: an error that can wait until a solution asks for less
_TINY = 1e-12  # of the range: no piece is cut shorter
_NEAR = 1e-8  # of the range: a solution may lie so far beyond the piece it was found on
_ROUNDING = 1e-14  # of the values on a piece, by which lines are lowered


@dataclass
class Piece:
    """Lines below the function on an interval.

    Attributes
    ----------
    low, high : float
        Its ends.
    lines : list of (float, float)
        Intercept and slope; the function is above all of them there.
    convex, concave : bool
        What is proved of it there.
    """

    low: float
    high: float
    convex: bool
    concave: bool
    lines: list[Line] = field(default_factory=list)

    @property
    def width(self) -> float:
        """Its length."""
        return self.high - self.low

    def at(self, point: float) -> float:
        """The highest line there."""
        return max(intercept + slope * point for intercept, slope in self.lines)


class Envelope:
    """Lines below a function of one number.

    Parameters
    ----------
    function : CurvedFunction
        Of one number.
    low, high : float
        The range of that, finite.

    Attributes
    ----------
    pieces : list of Piece
        From left to right, without gaps.
    size : float
        What the function varies by over the points looked at.
    """

    def __init__(self, function: CurvedFunction, low: float, high: float) -> None:
        self._function = function
        self._least = _TINY * max(high - low, abs(low), abs(high))
        values, _ = function.values(np.linspace(low, high, 65))
        self.size = float(np.ptp(values[np.isfinite(values)])) if np.isfinite(values).any() else 0.0
        ends = np.linspace(low, high, _FIRST + 1)
        self.pieces = self._made(ends) if high > low else [self._point(low)]
        for _ in range(_HALVINGS):
            coarse = [p for p in self.pieces if not self._good(p)]
            if not coarse or len(self.pieces) + len(coarse) > _MOST:
                break
            middles = [0.5 * (p.low + p.high) for p in coarse]
            ends = np.unique([*(p.low for p in self.pieces), high, *middles])
            self.pieces = self._made(ends)
        self._merge()

    def value(self, point: float) -> float:
        """The function."""
        return float(self._function.values(np.array([point]))[0][0])

    def below(self, point: float) -> float:
        """The lines, where the pieces meet the lower one."""
        return min(self._at(place, point) for place in self._near(point))

    def _near(self, point: float) -> list[int]:
        """The pieces that hold a point, up to what an engine's tolerance makes of it."""
        slack = max(self._least, _NEAR * (self.pieces[-1].high - self.pieces[0].low))
        holds = [k for k, piece in enumerate(self.pieces) if piece.low - slack <= point <= piece.high + slack]
        return holds or [0 if point < self.pieces[0].low else len(self.pieces) - 1]

    def _at(self, place: int, point: float) -> float:
        piece = self.pieces[place]
        return piece.at(min(max(point, piece.low), piece.high))

    def refine(self, point: float) -> bool:
        """Come closer to the function at a point; whether anything could be done."""
        place = min(self._near(point), key=lambda k: self._at(k, point))  # the one too low there
        piece = self.pieces[place]
        point = min(max(point, piece.low), piece.high)
        if piece.convex:
            return self._touch(piece, point)
        if piece.width <= 2.0 * self._least:
            return False
        inside = min(max(point, piece.low + 0.1 * piece.width), piece.high - 0.1 * piece.width)
        self.pieces[place : place + 1] = self._halved(piece, inside)
        return True

    def _halved(self, piece: Piece, at: float) -> list[Piece]:
        """Two pieces of which no less is known than of the whole."""
        if piece.concave:
            return [self._concave(piece.low, at), self._concave(at, piece.high)]
        halves = self._made(np.array([piece.low, at, piece.high]))
        for half in halves:
            half.lines += piece.lines
        return halves

    def _touch(self, piece: Piece, point: float) -> bool:
        """One more tangent; beside the point where the slope there is infinite, or the tangent is known."""
        inward = 1.0 if point < 0.5 * (piece.low + piece.high) else -1.0
        for step in (0.0, *(10.0**-k for k in range(1, 13))):
            at = np.array([point + inward * step * piece.width])
            value, slope = self._function.values(at)
            line = _tangent((float(at[0]), float(value[0]), float(slope[0])))
            if line is not None and all(abs(line[1] - known) > 1e-14 * abs(known) for _, known in piece.lines):
                piece.lines.append(line)
                return True
            if line is not None and step == 0.0:
                return False
        return False

    def _good(self, piece: Piece) -> bool:
        if piece.convex or piece.concave or piece.width <= 2.0 * self._least:
            return True
        middle = 0.5 * (piece.low + piece.high)
        return self.value(middle) - piece.at(middle) <= _GOOD * self.size

    def _made(self, ends: Array) -> list[Piece]:
        """The pieces between these ends, with what is proved of each."""
        parts = np.concatenate([np.linspace(a, b, _PARTS + 1)[:-1] for a, b in pairwise(ends)])
        parts = np.append(parts, ends[-1])
        value, curvature = self._function.ranges(parts[:-1], parts[1:])
        lowest = value.low.reshape(-1, _PARTS).min(axis=1)
        least = curvature.low.reshape(-1, _PARTS).min(axis=1)
        most = curvature.high.reshape(-1, _PARTS).max(axis=1)
        points = np.sort(np.concatenate([ends, 0.5 * (ends[:-1] + ends[1:])]))
        touched = list(zip(points, *self._function.values(points), strict=True))
        return [
            self._piece(touched[2 * k : 2 * k + 3], float(lowest[k]), float(least[k]), float(most[k]))
            for k in range(len(ends) - 1)
        ]

    def _piece(self, touched: Sequence[Touch], lowest: float, least: float, most: float) -> Piece:
        """One piece: the function at its ends and middle, its least value, and the range of its second derivative."""
        (low, first, _), _, (high, last, _) = touched
        piece = Piece(float(low), float(high), least >= 0.0, most <= 0.0)
        if piece.convex:
            piece.lines = [line for line in map(_tangent, touched) if line is not None]
        elif math.isfinite(first) and math.isfinite(last) and math.isfinite(most):
            piece.lines = [_chord(low, first, high, last, max(0.0, most) * piece.width**2 / 8.0)]
        if not piece.lines:  # the least value, where that is known; such a piece joins no other
            slack = _ROUNDING * max(abs(first), abs(last)) if math.isfinite(first + last) else 0.0
            return Piece(piece.low, piece.high, False, False, [(lowest - slack, 0.0)])
        return piece

    def _point(self, at: float) -> Piece:
        return Piece(at, at, True, False, [(self.value(at), 0.0)])

    def _merge(self) -> None:
        """Neighbours that are both convex, or both concave, are one piece: every cut between pieces costs a binary."""
        merged = [self.pieces[0]]
        for piece in self.pieces[1:]:
            last = merged[-1]
            if last.convex and piece.convex:
                last.lines += piece.lines
                last.high = piece.high
            elif last.concave and piece.concave and not (last.convex or piece.convex):
                merged[-1] = self._concave(last.low, piece.high)
            else:
                merged.append(piece)
        self.pieces = merged

    def _concave(self, low: float, high: float) -> Piece:
        (first, last), _ = self._function.values(np.array([low, high]))
        return Piece(low, high, False, True, [_chord(low, first, high, last, 0.0)])


def _tangent(touched: Touch) -> Line | None:
    point, value, slope = touched
    if not (math.isfinite(value) and math.isfinite(slope)):
        return None
    return float(value - slope * point - _ROUNDING * max(abs(value), abs(slope * point))), float(slope)


def _chord(low: float, first: float, high: float, last: float, lift: float) -> Line:
    slope = (last - first) / (high - low)
    return float(first - slope * low - lift - _ROUNDING * max(abs(first), abs(last))), float(slope)
