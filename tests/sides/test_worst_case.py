"""Pessimistic problems over convex quadratic followers, against linear programs over the optimal face at single x."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy.optimize import linprog

import bilevel
from bilevel import LowerLevel
from bilevel.errors import RefusedError

sys.path.insert(0, str(Path(__file__).parent))
from linear_levels import Levels

FAST, SLOW = range(10), range(10, 120)


class Squares(Levels):
    """The follower minimises ``w/2 (r'y - s'x - t)^2``: his optima are all feasible y with one value of r'y."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        rng = np.random.default_rng(seed + 77)
        self.r, self.s = (rng.integers(-2, 3, n).astype(float) for n in (len(self.d), len(self.c)))
        self.t, self.w = float(rng.integers(-2, 3)), float(rng.choice([1.0, 0.5, 3.0]))

    def model(self, units: float = 1.0) -> pyo.ConcreteModel:
        model = super().model(units)
        x, y = [*model.x.values()], [*model.lower.y.values()]
        model.lower.obj.expr = self.w / 2 * (self.r @ y - self.s @ x - self.t) ** 2 + 0 * y[0]
        return model

    def worst_at(self, x: np.ndarray) -> float:
        """The pessimistic F; infinite where x will not do."""
        p, split = len(self.d), {}
        for equal in (False, True):
            split[equal] = [(b, limit - a @ x) for a, b, limit in self._rows(equal=equal)]
            for b, limit in split[equal]:
                if not b.any() and (abs(limit) > 1e-9 if equal else limit < -1e-9):
                    return np.inf
        A, E = (np.array([b for b, _ in split[equal]]).reshape(-1, p) for equal in (False, True))
        a, e = ([limit for _, limit in split[equal]] for equal in (False, True))
        least, most = (linprog(sign * self.r, A, a, E, e, self.y_ends) for sign in (1.0, -1.0))
        if least.status == 2:
            return np.inf
        ends = [found.fun if found.status == 0 else -np.inf for found in (least, most)]
        value = np.clip(self.s @ x + self.t, ends[0], -ends[1])
        A, a = np.vstack([A, self.r, -self.r]), [*a, value + 1e-9, 1e-9 - value]
        for of_x, of_y, limit in zip(self.A1, self.B1, self.b1, strict=True):
            side = linprog(-of_y, A, a, E, e, self.y_ends)
            if side.status != 0 or of_x @ x - side.fun > limit + 1e-6:
                return np.inf
        above = linprog(-self.d, A, a, E, e, self.y_ends)
        return float(self.c @ x - above.fun) if above.status == 0 else np.inf


def holds(seed: int, method: str) -> str:
    """Solve one and compare; what was said."""
    levels = Squares(seed)
    try:
        result = bilevel.solve(levels.model(), method, attitude="pessimistic", time_limit=5)
    except RefusedError:
        return "refused"
    count = {1: 41, 2: 7, 3: 4}[len(levels.c)]
    ends = [(-6.0 if low is None else low, 6.0 if high is None else high) for low, high in levels.x_ends]
    points = itertools.product(*(np.linspace(low, high, count) for low, high in ends))
    best = min(levels.worst_at(np.array(x)) for x in points)
    assert result.bound is None or result.bound <= best + 1e-4
    assert result.verdict != "infeasible" or best == np.inf
    if result.upper:
        x = np.array([result.upper[f"x[{j}]"] for j in range(len(levels.c))])
        assert result.upper_objective == pytest.approx(levels.worst_at(x), rel=1e-5, abs=1e-5)
        assert result.verdict != "certified_global" or result.upper_objective <= best + 1e-4
    return str(result.verdict)


def test_against_programs_at_single_points():
    said = [holds(seed, "worst_case") for seed in FAST]
    assert said.count("certified_global") + said.count("infeasible") >= 8


@pytest.mark.slow
@pytest.mark.parametrize("method", ["worst_case", "kkt", "auto"])
def test_against_programs_at_single_points_many(method):
    said = [holds(seed, method) for seed in SLOW]
    assert said.count("certified_global") + said.count("infeasible") > 0.8 * len(said)


def two_goods(above=None):
    """The follower wants y + z near x, both in [0, 2]; F = 2 y - x, so that at worst y = min(x, 2): F = x or 4 - x."""
    model = pyo.ConcreteModel()
    model.x, model.lower = pyo.Var(bounds=(1, 4)), LowerLevel()
    model.lower.y, model.lower.z = pyo.Var(bounds=(0, 2)), pyo.Var(bounds=(0, 2))
    x, y, z = model.x, model.lower.y, model.lower.z
    model.lower.obj = pyo.Objective(expr=(y + z - x) ** 2)
    model.obj = pyo.Objective(expr=2 * y - x)
    if above is not None:
        model.above = pyo.Constraint(expr=above(x, y))
    return model


@pytest.mark.parametrize("method", ["worst_case", "kkt", "auto"])
def test_two_goods(method):
    """The least of x (up to 2) and 4 - x is 0 at x = 4; at best F is -x up to 2, and 2 (x - 2) - x = x - 4 beyond: -2."""
    result = bilevel.solve(two_goods(), method, attitude="pessimistic")
    assert (result.verdict, result.upper_objective) == ("certified_global", pytest.approx(0, abs=1e-5))
    assert bilevel.solve(two_goods(), "kkt").upper_objective == pytest.approx(-2, abs=1e-5)


def test_every_optimum_meets_the_coupling_constraint():
    """With y <= 1.5 above, x may be no more than 1.5, as the follower might take all of it in y: F = 1 at x = 1."""
    result = bilevel.solve(two_goods(lambda x, y: y <= 1.5), "worst_case", attitude="pessimistic")
    assert (result.verdict, result.upper_objective) == ("certified_global", pytest.approx(1, abs=1e-5))
    nowhere = bilevel.solve(two_goods(lambda x, y: y <= 0.5), "worst_case", attitude="pessimistic")
    assert nowhere.verdict == "infeasible"


def test_costs_that_move_with_x():
    """A linear follower whose price is x - 1: indifferent at x = 1 alone, where the worst y is 1; F = 3 y - x."""
    model = pyo.ConcreteModel()
    model.x, model.lower = pyo.Var(bounds=(0, 1)), LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 1))
    model.lower.obj = pyo.Objective(expr=(1 - model.x) * model.lower.y)
    model.obj = pyo.Objective(expr=3 * model.lower.y - model.x)
    optimistic = bilevel.solve(model, "kkt")
    assert optimistic.upper_objective == pytest.approx(-1, abs=1e-5)
    result = bilevel.solve(model, "worst_case", attitude="pessimistic", time_limit=10)
    assert result.verdict == "best_found"  # -1 is approached as x goes to 1, and attained nowhere
    assert result.bound is None or result.bound <= -1 + 1e-5


@pytest.mark.parametrize("spoilt", ["integer", "curved", "moving curvature", "optimistic"])
def test_what_it_refuses_names_another_method(spoilt):
    model = two_goods()
    y, z = model.lower.y, model.lower.z
    if spoilt == "integer":
        y.domain = pyo.Integers
    if spoilt == "curved":
        model.lower.obj.expr = (y + z - model.x) ** 4 + (y + z) ** 2
    if spoilt == "moving curvature":
        model.lower.obj.expr = model.x * (y + z - model.x) ** 2
    attitude = "optimistic" if spoilt == "optimistic" else "pessimistic"
    with pytest.raises(RefusedError, match="method='"):
        bilevel.solve(model, "worst_case", attitude=attitude)
