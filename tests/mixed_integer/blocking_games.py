"""Random knapsacks whose items a leader blocks, in every way they can be written, and their answer by listing."""

from __future__ import annotations

import itertools

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel


class BlockingGame:
    """``factor p y + cost x`` against ``p y``, ``w y <= capacity``; x blocks item i where it is ``at[i]``.

    Some items cannot be blocked, some exist several times, some are worth nothing; rows are written with either sign,
    either level in either sense; weights whole, in quarters, or real.
    """

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        n = self.n = int(rng.integers(2, 7))
        self.rng = rng
        self.p, self.w = rng.integers(-3, 30, n).astype(float), rng.integers(0, 20, n).astype(float)
        price = rng.integers(0, 20, n).astype(float)
        if seed % 3 == 1:
            self.p, self.w, price = rng.normal(5, 5, n), rng.uniform(0, 20, n), rng.uniform(0, 20, n)
        if seed % 3 == 2:
            self.p, self.w = self.p / 8, self.w / 4
        self.w[0] += 1
        self.capacity = float(np.floor(4 * rng.random() * self.w.sum()) / 4)
        self.top = rng.integers(1, 4, n) if rng.random() < 0.4 else np.ones(n, dtype=int)
        self.at = rng.integers(0, 2, n)
        self.blockable = np.append(True, rng.random(n - 1) < 0.8)
        self.cost = np.where(rng.random() < 0.5, rng.integers(-5, 6, n), 0).astype(float) * self.blockable
        self.factor, self.senses = float(rng.choice([1, 2, 0.5])), rng.choice([-1, 1], 2)
        self.rows = [(price, -np.inf, float(np.floor(price.sum() * rng.random())))]
        if rng.random() < 0.4:
            self.rows.append((rng.integers(-5, 6, n).astype(float), -np.inf, float(rng.integers(-3, 8))))
        if rng.random() < 0.2:
            k = float(rng.integers(0, n + 1))
            self.rows.append((np.ones(n), k, k))

    def model(self):
        n, free = range(self.n), [int(i) for i in np.flatnonzero(self.blockable)]
        m = pyo.ConcreteModel()
        m.x, m.lower = pyo.Var(free, within=pyo.Binary), LowerLevel()
        m.lower.y = pyo.Var(n, within=pyo.Integers, bounds=lambda _, i: (0, int(self.top[i])))
        x, y = m.x, m.lower.y
        m.lower.blocked = pyo.ConstraintList()
        for i in free:
            body = y[i] - int(self.top[i]) * ((1 - x[i]) if self.at[i] else x[i])
            m.lower.blocked.add(body <= 0 if i % 2 else -2 * body >= 0)
        m.lower.capacity = pyo.Constraint(expr=sum(self.w[i] * y[i] for i in n) <= self.capacity)
        gain, senses = sum(self.p[i] * y[i] for i in n), {1: pyo.minimize, -1: pyo.maximize}
        upper, lower = (int(s) for s in self.senses)
        aim = self.factor * gain + sum(self.cost[i] * x[i] for i in free) + 3.5
        m.obj = pyo.Objective(expr=upper * aim, sense=senses[upper])
        m.lower.obj = pyo.Objective(expr=-lower * gain, sense=senses[lower])
        m.rows = pyo.ConstraintList()
        for row, low, high in self.rows:
            body = sum(row[i] * x[i] for i in free)
            if any(row[i] for i in free):
                m.rows.add(body == high if low == high else body <= high)
        return m

    def best(self):
        """The optimal F, or None where no blocking is allowed."""
        answers = np.array(list(itertools.product(*(range(t + 1) for t in self.top))), dtype=float)
        answers = answers[answers @ self.w <= self.capacity + 1e-9]
        found = []
        for choice in itertools.product((0.0, 1.0), repeat=int(self.blockable.sum())):
            x = np.zeros(self.n)
            x[self.blockable] = choice
            rows = [(row[self.blockable], low, high) for row, low, high in self.rows if row[self.blockable].any()]
            if all(low - 1e-9 <= row @ choice <= high + 1e-9 for row, low, high in rows):
                blocked = self.blockable & (x == self.at)
                left = answers[(answers <= np.where(blocked, 0, self.top)).all(1)]
                found.append(self.factor * (left @ self.p).max() + self.cost @ x + 3.5)
        return self.senses[0] * min(found) if found else None
