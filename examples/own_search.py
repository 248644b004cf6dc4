"""A search of your own: one class with ``ask`` and ``tell``, one decorator, and it works like any other.

The (1+1) evolution strategy with the one-fifth success rule (Rechenberg 1973): step from the best point; widen the
step after a success, narrow it after a failure. Run it with ``python examples/own_search.py``; a search in a model
file given to ``python -m bilevel.solve`` is registered the same way.
"""

import numpy as np
import pyomo.environ as pyo

import bilevel
from bilevel import LowerLevel, Search, register


@register("one_plus_one")
class OnePlusOne(Search):
    """The (1+1) evolution strategy with the one-fifth success rule.

    Parameters
    ----------
    step : float
        First standard deviation, as a share of each variable's range.
    """

    def __init__(self, space, rng, budget, *, step=0.3):
        super().__init__(space, rng, budget)
        self.step = step
        self.best = None
        self.seen = set()

    def ask(self, count=1):
        """Propose ``count`` new points near the best one."""
        points = []
        for _ in range(1000 * count):
            unit = np.full(len(self.space.dimensions), 0.5)
            if self.best is not None:
                unit = self.space.to_unit(self.best.point) + self.step * self.rng.normal(size=unit.size)
            point = self.space.draw(np.clip(unit, 0.0, 1.0))  # None where no allowed point is near
            if point is not None and point not in self.seen:
                self.seen.add(point)
                points.append(point)
            if len(points) == count:
                break
        return points

    def tell(self, evaluation):
        """Keep the best point; widen or narrow the step."""
        if evaluation.feasible and (self.best is None or evaluation.cost < self.best.cost):
            self.best = evaluation
            self.step *= 1.5
        else:
            self.step *= 1.5**-0.25


def create_model():
    """A price leader against a follower who maximises his profit; the leader's best is F = 12.5 at x = 5."""
    model = pyo.ConcreteModel("parking")
    model.x = pyo.Var(bounds=(0, 10))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 8))
    y = model.lower.y
    model.lower.joy = pyo.Objective(expr=10 * y - y**2 - model.x * y, sense=pyo.maximize)
    model.revenue = pyo.Objective(expr=model.x * y, sense=pyo.maximize)
    return model


def main():
    """Our own search against random search, same budget."""
    own = bilevel.solve(create_model(), method="one_plus_one", budget=40, seed=3, step=0.2)
    blind = bilevel.solve(create_model(), method="random", budget=40, seed=3)
    print(f"one_plus_one: {own.upper_objective:.6f}    random: {blind.upper_objective:.6f}    (best possible: 12.5)")
    assert own.verdict == "best_found"
    assert own.evaluations == 40
    assert own.upper_objective > 12.49

    again = bilevel.solve(create_model(), method="one_plus_one", budget=40, seed=3, step=0.2)
    assert [e.point for e in own.history] == [e.point for e in again.history]  # same seed, same history


if __name__ == "__main__":
    main()
