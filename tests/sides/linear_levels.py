"""Random linear bilevel problems in whole numbers, and their optima by listing which sides carry the follower's."""

from __future__ import annotations

import itertools

import numpy as np
import pyomo.environ as pyo
from scipy.optimize import linprog

from bilevel import LowerLevel


class Levels:
    """``min c'x + d'y`` over rows ``A1 x + B1 y <= b1``, y optimal for ``e'y`` over ``A x + B y <= b`` or ``= b``."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n, p, m, k = (int(rng.integers(low, high)) for low, high in ((1, 4), (1, 4), (1, 5), (0, 3)))

        def whole(*shape: int) -> np.ndarray:
            return rng.integers(-3, 4, shape).astype(float)

        self.A, self.B, self.b = whole(m, n), whole(m, p), rng.integers(-2, 7, m).astype(float)
        self.A1, self.B1, self.b1 = whole(k, n), whole(k, p), rng.integers(-1, 7, k).astype(float)
        self.c, self.d, self.e = whole(n), whole(p), whole(p)
        self.equal = rng.random(m) < 0.15
        self.x_ends = _ends(rng, n, 0.9, 0.9, (0, 1))
        self.y_ends = _ends(rng, p, 0.7, 0.5, (-2, 1))

    def model(self, units: float = 1.0) -> pyo.ConcreteModel:
        """The problem; with all of y and F in other units."""
        model = pyo.ConcreteModel()
        model.x = pyo.Var(range(len(self.c)), bounds=lambda _, j: self.x_ends[j])
        model.lower = LowerLevel()
        ends = [tuple(None if v is None else v * units for v in pair) for pair in self.y_ends]
        model.lower.y = pyo.Var(range(len(self.d)), bounds=lambda _, j: ends[j])
        x, y = [*model.x.values()], [*model.lower.y.values()]
        none = 0 * x[0] + 0 * y[0]
        model.rows, model.lower.rows = pyo.ConstraintList(), pyo.ConstraintList()
        for of_x, of_y, limit in zip(self.A1, self.B1, self.b1, strict=True):
            if of_x.any() or of_y.any():
                model.rows.add(of_x @ x * units + of_y @ y <= limit * units)
        for of_x, of_y, limit, equal in zip(self.A, self.B, self.b, self.equal, strict=True):
            if of_x.any() or of_y.any():
                body = of_x @ x * units + of_y @ y
                model.lower.rows.add(body == limit * units if equal else body <= limit * units)
        model.lower.obj = pyo.Objective(expr=self.e @ y + none)
        model.obj = pyo.Objective(expr=self.c @ x * units + self.d @ y + none)
        return model

    def best(self) -> float:
        """The optimum; ``-inf`` where F is unbounded, ``inf`` where there is no point."""
        n, p = len(self.c), len(self.d)
        sides = [(np.r_[a, b], limit, b) for a, b, limit in self._rows(equal=False) if b.any()]
        for j, (low, high) in enumerate(self.y_ends):
            unit = np.eye(p)[j]
            sides += [
                (np.r_[np.zeros(n), s * unit], s * v, s * unit) for s, v in ((1, high), (-1, low)) if v is not None
            ]
        equal = self._rows(equal=True)
        free = [b for _, b, _ in equal if b.any()]
        found = np.inf
        for carrying in itertools.chain.from_iterable(itertools.combinations(sides, k) for k in range(len(sides) + 1)):
            if not _carries([normal for _, _, normal in carrying], free, self.e):
                continue
            held = [(np.r_[a, b], limit) for a, b, limit in equal] + [(row, limit) for row, limit, _ in carrying]
            value = self._least(held)
            if value == -np.inf:
                return value
            found = min(found, value)
        return found

    def _rows(self, *, equal: bool) -> list[tuple[np.ndarray, np.ndarray, float]]:
        every = zip(self.A, self.B, self.b, self.equal, strict=True)
        return [(a, b, limit) for a, b, limit, is_equal in every if is_equal == equal and (a.any() or b.any())]

    def _least(self, held: list[tuple[np.ndarray, float]]) -> float:
        rows = [(np.r_[a, b], limit) for a, b, limit in self._rows(equal=False)]
        rows += [(np.r_[a, b], limit) for a, b, limit in zip(self.A1, self.B1, self.b1, strict=True)]
        cost = np.r_[self.c, self.d]
        above, at = _stacked(rows, len(cost)), _stacked(held, len(cost))
        solved = linprog(cost, above, _limits(rows), at, _limits(held), [*self.x_ends, *self.y_ends])
        return {0: solved.fun, 3: -np.inf}.get(solved.status, np.inf)


def _stacked(rows: list[tuple[np.ndarray, float]], width: int) -> np.ndarray:
    return np.array([row for row, _ in rows]).reshape(-1, width)


def _limits(rows: list[tuple[np.ndarray, float]]) -> np.ndarray:
    return np.array([limit for _, limit in rows])


def _carries(normals: list[np.ndarray], free: list[np.ndarray], slope: np.ndarray) -> bool:
    every = np.array([*normals, *free])
    if not len(every):
        return not slope.any()
    ends = [(0, None)] * len(normals) + [(None, None)] * len(free)
    return linprog(np.zeros(len(every)), A_eq=every.T, b_eq=-slope, bounds=ends).status == 0


def _ends(
    rng: np.random.Generator, count: int, lower: float, upper: float, lows: tuple[int, int]
) -> list[tuple[float | None, float | None]]:
    low = [float(v) if rng.random() < lower else None for v in rng.integers(*lows, count)]
    high = [float(v) if rng.random() < upper else None for v in rng.integers(1, 6, count)]
    return list(zip(low, high, strict=True))


def of_size(size: int, seed: int) -> pyo.ConcreteModel:
    """As many variables on either level, 0.4 times as many rows of whole numbers up to 10, costs up to 50."""
    rng = np.random.default_rng(seed)
    rows = max(1, int(0.4 * size))
    A1, B1, A, B = (rng.integers(0, 11, (rows, size)).astype(float) for _ in range(4))
    b1, b = rng.integers(30, 131, rows).astype(float), rng.integers(10, 111, rows).astype(float)
    c, d, e = (rng.integers(-50, 51, size).astype(float) for _ in range(3))
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(size), bounds=(0, 1000))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(range(size), bounds=(0, None))
    x, y = [*model.x.values()], [*model.lower.y.values()]
    model.rows = pyo.Constraint(range(rows), rule=lambda _, i: A1[i] @ x + B1[i] @ y <= b1[i])
    model.lower.rows = pyo.Constraint(range(rows), rule=lambda _, i: A[i] @ x + B[i] @ y <= b[i])
    model.lower.obj = pyo.Objective(expr=e @ y)
    model.obj = pyo.Objective(expr=c @ x + d @ y)
    return model
