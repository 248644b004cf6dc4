"""Random small bilevel problems, and their answer by listing everything."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import pyomo.environ as pyo
from scipy.optimize import linprog

from bilevel import LowerLevel


@dataclass
class Instance:
    """``F = c x + d y``, ``G (x, y) <= G_rhs``; below ``f = slope y``, ``A x + B y <= b``; everything in ``[0, top]``.

    The first ``integers`` of y are integer, x all. ``sense`` is 1 where a level minimises, -1 where it maximises.
    """

    seed: int
    x: int = 2
    integers: int = 2
    continuous: int = 0
    top: int = 3
    sense: tuple[int, int] = field(init=False)

    def __post_init__(self):
        rng, n = np.random.default_rng(self.seed), self.x + self.integers + self.continuous
        draw = lambda *shape: rng.integers(-5, 6, shape)  # noqa: E731
        self.c, self.d = draw(self.x), draw(n - self.x)
        self.slope = draw(n - self.x)
        self.G, self.G_rhs = draw(1, n), rng.integers(0, 12, 1)
        self.A, self.B, self.b = draw(2, self.x), draw(2, n - self.x), rng.integers(-2, 12, 2)
        self.sense = tuple(int(s) for s in rng.choice([-1, 1], 2))

    def model(self):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(self.x), within=pyo.Integers, bounds=(0, self.top))
        m.lower = LowerLevel()
        m.lower.y = pyo.Var(range(len(self.d)), bounds=(0, self.top))
        for k in range(self.integers):
            m.lower.y[k].domain = pyo.Integers
        x, y = list(m.x.values()), list(m.lower.y.values())
        senses = {1: pyo.minimize, -1: pyo.maximize}
        m.obj = pyo.Objective(expr=_dot(self.c, x) + _dot(self.d, y), sense=senses[self.sense[0]])
        m.lower.obj = pyo.Objective(expr=_dot(self.slope, y), sense=senses[self.sense[1]])
        m.G, m.lower.g = pyo.ConstraintList(), pyo.ConstraintList()
        for row, rhs in zip(self.G, self.G_rhs, strict=True):
            if row.any():
                m.G.add(_dot(row, [*x, *y]) <= int(rhs))
        for left, right, rhs in zip(self.A, self.B, self.b, strict=True):
            if right.any() or left.any():
                m.lower.g.add(_dot(left, x) + _dot(right, y) <= int(rhs))
        return m

    def best(self):
        """The optimal F, or None where no point is bilevel feasible."""
        values = [self.at(np.array(x)) for x in itertools.product(range(self.top + 1), repeat=self.x)]
        found = [v for v in values if v is not None]
        return self.sense[0] * min(found) if found else None

    def at(self, x):
        """F (minimised) of the leader's favourite among the follower's optima at x; None where there is none."""
        f, F = self.sense[1] * self.slope, self.sense[0] * self.d
        best = self._least(f, self.B, self.b - self.A @ x)
        if best is None:
            return None
        rows = np.vstack([self.B, f, self.G[:, self.x :]])
        rhs = np.concatenate([self.b - self.A @ x, [best + 1e-9], self.G_rhs - self.G[:, : self.x] @ x])
        found = self._least(F, rows, rhs)
        return None if found is None else found + self.sense[0] * self.c @ x

    def _least(self, cost, rows, rhs):
        found = []
        for z in itertools.product(range(self.top + 1), repeat=self.integers):
            rest = rhs - rows[:, : self.integers] @ z
            value = cost[: self.integers] @ z
            if not self.continuous:
                found += [value] if (rest >= -1e-9).all() else []
                continue
            u = linprog(
                cost[self.integers :],
                A_ub=rows[:, self.integers :],
                b_ub=rest,
                bounds=[(0, self.top)] * self.continuous,
            )
            found += [value + u.fun] if u.status == 0 else []
        return min(found, default=None)


def _dot(numbers, variables):
    return sum(int(a) * v for a, v in zip(numbers, variables, strict=True)) + 0.0


def interdiction(items, seed):
    """Leader blocks items within a budget, follower fills a knapsack with the rest (DeNegre 2011)."""
    rng = np.random.default_rng(seed)
    profit, weight, price = (rng.integers(1, 100, items) for _ in range(3))
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(items), within=pyo.Binary)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(range(items), within=pyo.Binary)
    m.budget = pyo.Constraint(expr=_dot(price, m.x.values()) <= int(price.sum()) // 2)
    m.lower.capacity = pyo.Constraint(expr=_dot(weight, m.lower.y.values()) <= int(weight.sum()) // 2)
    m.lower.blocked = pyo.Constraint(range(items), rule=lambda b, i: b.y[i] <= 1 - m.x[i])
    m.obj = pyo.Objective(expr=_dot(profit, m.lower.y.values()))
    m.lower.obj = pyo.Objective(expr=_dot(profit, m.lower.y.values()), sense=pyo.maximize)

    def best():
        values = []
        points = np.array(list(itertools.product((0, 1), repeat=items)))
        fits = points[points @ weight <= weight.sum() // 2]
        for x in points[points @ price <= price.sum() // 2]:
            values.append(int((fits[(fits + x <= 1).all(1)] @ profit).max()))
        return min(values)

    return m, best
