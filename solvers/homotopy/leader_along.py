"""F along the followers' paths: a polynomial of s on every piece, and its least value over all of them.

Where one of the followers' answers turns, a piece ends. On a piece all answers are linear in s; F is quadratic in them
with coefficients affine in s, hence a polynomial of degree three at most, known from its values at four points. Its
least value on the piece is at an end or where the derivative, a quadratic, vanishes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import casadi as ca
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.deadline import look
from bilevel.expressions.squares import Square, symbols_of
from bilevel.graphs.compiled import Compiled
from bilevel.programs.compilation import Compilation
from bilevel.solvers.homotopy.path_following import Piece

_NODES = np.array([0.0, 1.0, 2.0, 3.0]) / 3.0
_FROM_VALUES = np.linalg.inv(np.vander(_NODES, increasing=True))
_ROOM = 4_000_000  # numbers held at once


@dataclass(frozen=True, eq=False)
class AnswerPath:
    """One follower's answers: ``y = back @ (z[k, 0] + s z[k, 1])`` from ``starts[k]`` on.

    Attributes
    ----------
    starts : ndarray of shape (k,)
    z : ndarray of shape (k, 2, n)
    back : csr_array of shape (number of its variables, n)
    """

    starts: Array
    z: Array
    back: sp.csr_array

    @classmethod
    def of(cls, pieces: Sequence[Piece], back: sp.csr_array) -> AnswerPath:
        """From its pieces."""
        return cls(np.array([p.start for p in pieces]), np.array([p.z for p in pieces]), back)

    def pieces(self, near: Array) -> NDArray[np.int_]:
        """The pieces that hold some s."""
        return np.asarray(np.searchsorted(self.starts, near, side="right") - 1)

    def at(self, s: Array, near: Array) -> Array:
        """Answers at some s, shape (k,), on the pieces that hold ``near``; shape (k, number of variables)."""
        k = self.pieces(near)
        z = self.z[k, 0] + s[:, None] * self.z[k, 1]
        return np.asarray((self.back @ z.T).T)


@dataclass(frozen=True, eq=False)
class SquareAlong:
    """A square in one follower's variables along its path: a parabola on every piece.

    Attributes
    ----------
    path : AnswerPath
    parabolas : ndarray of shape (k, 3)
        Its coefficients in the distance from the piece's start.
    """

    path: AnswerPath
    parabolas: Array

    @classmethod
    def of(cls, square: Square, path: AnswerPath, first: int) -> SquareAlong | None:
        """None for a square that other followers have a part in; ``first`` is the place of this one's variables."""
        count = path.back.shape[0]
        everything = np.arange(square.places.stop if isinstance(square.places, slice) else max(square.places) + 1)
        places = everything[square.places] - first
        if places.min() < 0 or places.max() >= count:
            return None
        map_of = square.factor.matrix @ path.back[places]
        start = path.z[:, 0] + path.starts[:, None] * path.z[:, 1]
        residual, rate = start @ map_of.T - square.factor.target, path.z[:, 1] @ map_of.T
        pairs = ((residual, residual, 1.0), (residual, rate, 2.0), (rate, rate, 1.0))
        return cls(path, np.stack([factor * np.einsum("ij,ij->i", a, b) for a, b, factor in pairs], axis=1))

    def at(self, s: Array, near: Array) -> Array:
        """Its values at some s on the pieces that hold ``near``."""
        k = self.path.pieces(near)
        t, (a, b, c) = s - self.path.starts[k], self.parabolas[k].T
        found: Array = a + t * (b + t * c)
        return found


@dataclass(frozen=True, eq=False)
class Optimum:
    """A point (s, y) and F there, minimised; y of shape (number of lower variables,)."""

    value: float
    s: float
    y: Array


class LeaderAlong:
    """F, minimised, along paths.

    Parameters
    ----------
    compilation : Compilation
        Of a problem whose F is quadratic in the followers' variables.
    paths : sequence of AnswerPath
        One per follower, in the problem's order.
    x_of : callable
        The x of an s.
    """

    def __init__(self, compilation: Compilation, paths: Sequence[AnswerPath], x_of: Callable[[float], float]) -> None:
        self._paths, self._x_of = paths, x_of
        self._squares = [square for square in compilation.upper_squares if isinstance(square, Square)]
        x, y, symbols = compilation.x, compilation.all_y, symbols_of(self._squares)
        self._moves = ca.depends_on(compilation.upper_short, x)
        self._parabolas = None if ca.depends_on(compilation.upper_short, y) else self._along()
        inputs = [x, symbols] if self._parabolas is not None else [x, y, symbols]
        self._value = Compiled([ca.vertcat(*inputs)], [compilation.upper_short])
        ends = np.unique(np.concatenate([path.starts for path in paths] + [np.array([1.0])]))
        self.starts, self.ends = ends[:-1], ends[1:]
        self.middles = 0.5 * (self.starts + self.ends)

    def _along(self) -> list[SquareAlong] | None:
        """Each square along the one path it depends on; None where one depends on several."""
        firsts = np.cumsum([0, *(path.back.shape[0] for path in self._paths)])[:-1].tolist()
        found = []
        for square in self._squares:
            ways = [SquareAlong.of(square, path, first) for path, first in zip(self._paths, firsts, strict=True)]
            found += [way for way in ways if way is not None]
        return found if len(found) == len(self._squares) else None

    def answers(self, s: Array, near: Array) -> Array:
        """All followers' answers, shape (k, number of lower variables)."""
        return np.hstack([path.at(s, near) for path in self._paths])

    def values(self, s: Array, y: Array) -> Array:
        """F at some s and answers, shapes (k,) and (k, number of lower variables)."""
        squares = [square.values(y) for square in self._squares]
        return self._evaluated(s, y if self._parabolas is None else y[:, :0], squares)

    def _evaluated(self, s: Array, y: Array, squares: Sequence[Array]) -> Array:
        x = np.array([self._x_of(v) for v in s]) if self._moves else np.full(len(s), self._x_of(0.5))
        return self._value.many(np.hstack([x[:, None], y, *(value[:, None] for value in squares)]))[:, 0].copy()

    def _on_paths(self, s: Array, near: Array) -> Array:
        """F at the answers to some s."""
        if self._parabolas is None:
            return self.values(s, self.answers(s, near))
        return self._evaluated(s, np.zeros((len(s), 0)), [way.at(s, near) for way in self._parabolas])

    def minimum(self) -> Optimum:
        """Where F is least."""
        best, place, near = np.inf, 0.0, 0.0
        width = max(1, sum(path.back.shape[0] for path in self._paths))
        count = max(1, _ROOM // (4 * width))
        for first in range(0, len(self.starts), count):
            look()
            part = slice(first, first + count)
            start, middle = self.starts[part], self.middles[part]
            length = self.ends[part] - start
            s = start[:, None] + length[:, None] * _NODES
            flat = self._on_paths(s.ravel(), np.repeat(middle, len(_NODES)))
            values, places = least_of_cubics(flat.reshape(s.shape))
            k = int(values.argmin())
            if values[k] < best:
                best, place, near = float(values[k]), float(start[k] + places[k] * length[k]), float(middle[k])
        return Optimum(best, place, self.answers(np.array([place]), np.array([near]))[0])


def least_of_cubics(values: Array) -> tuple[Array, Array]:
    """The least value on [0, 1] of polynomials given at 0, 1/3, 2/3 and 1, shape (k, 4), and where."""
    c = values @ _FROM_VALUES.T
    quadratic, linear, constant = 3.0 * c[:, 3], 2.0 * c[:, 2], c[:, 1]
    with np.errstate(all="ignore"):
        root = np.sqrt(linear**2 - 4.0 * quadratic * constant)
        stable = -0.5 * (linear + np.where(linear < 0.0, -root, root))
        candidates = np.stack([stable / quadratic, constant / stable, np.zeros(len(c)), np.ones(len(c))])
    candidates = np.clip(np.where(np.isfinite(candidates), candidates, 0.0), 0.0, 1.0)
    found = c[:, 0] + candidates * (c[:, 1] + candidates * (c[:, 2] + candidates * c[:, 3]))
    first = found.argmin(axis=0)
    columns = np.arange(len(c))
    return found[first, columns], candidates[first, columns]
