"""Fronts: hypervolume after 50 and 100 evaluations of our searches and of Optuna's.

Bilevel problems after ZDT (Zitzler, Deb and Thiele 2000) and DTLZ (Deb, Thiele, Laumanns and Zitzler 2005): the
follower answers y(x), and the objectives are those of the test problem in y; and some of the gallery. Ideal and nadir
are those of all fronts of a problem together, the reference point is 1.1 in each objective.

    python benchmarks/fronts.py [--seeds 3] [--problems zdt1,dtlz2] [--methods gp,surrogate,botorch] [--budgets 50,100]

``botorch`` is BoTorch's qLogNEHVI, which stands in ``fronts_peers.py`` and needs that package.
"""

from __future__ import annotations

import argparse
import math
import time

import fronts_peers  # noqa: F401 - registers ``botorch``
import numpy as np
import pyomo.environ as pyo

import bilevel
from bilevel.upper.front import nondominated, normalised_hypervolume


def _follower(model: pyo.ConcreteModel, size: int) -> pyo.Var:
    """``y(x) = x`` bent a little: the follower balances being near x against its neighbours' mean."""
    model.x = pyo.Var(range(size), bounds=(0, 1))
    model.lower = bilevel.LowerLevel()
    model.lower.y = pyo.Var(range(size), bounds=(0, 1))
    x, y = model.x, model.lower.y
    pull = sum((y[i] - y[i - 1]) ** 2 for i in range(2, size))
    model.lower.near = pyo.Objective(expr=sum((y[i] - x[i]) ** 2 for i in range(size)) + 0.1 * pull)
    return y


def zdt(number: int, size: int = 6) -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    y = _follower(model, size)
    g = 1 + 9 * sum(y[i] for i in range(1, size)) / (size - 1)
    ratio = (y[0] + 1e-9) / g
    shapes = {
        1: 1 - pyo.sqrt(ratio),
        2: 1 - ratio**2,
        3: 1 - pyo.sqrt(ratio) - ratio * pyo.sin(10 * math.pi * y[0]),
    }
    model.first = pyo.Objective(expr=y[0])
    model.second = pyo.Objective(expr=g * shapes[number])
    return model


def dtlz2(count: int = 2, size: int = 6) -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    y = _follower(model, size)
    g = sum((y[i] - 0.5) ** 2 for i in range(count - 1, size))
    model.F = pyo.ObjectiveList()
    for j in range(count):
        shape = 1 + g
        for i in range(count - 1 - j):
            shape = shape * pyo.cos(y[i] * math.pi / 2)
        if j:
            shape = shape * pyo.sin(y[count - 1 - j] * math.pi / 2)
        model.F.add(shape)
    return model


def fonseca(size: int = 4) -> pyo.ConcreteModel:
    """Two bells whose tops lie apart (Fonseca and Fleming 1995), over ``[-2, 2]`` as ``[0, 1]``."""
    model = pyo.ConcreteModel()
    y = _follower(model, size)
    for name, sign in (("first", -1), ("second", 1)):
        far = sum((4 * y[i] - 2 + sign / math.sqrt(size)) ** 2 for i in y)
        model.add_component(name, pyo.Objective(expr=1 - pyo.exp(-far)))
    return model


def with_cost(name: str, cost: str) -> pyo.ConcreteModel:
    """A model of the gallery, and how large its answer is as a second objective."""
    model = bilevel.load_model(name)
    var = model.find_component(cost)
    model.size = pyo.Objective(expr=sum(v**2 for v in var.values()))
    return model


PROBLEMS = {
    "zdt1": lambda: zdt(1),
    "zdt2": lambda: zdt(2),
    "zdt3": lambda: zdt(3),
    "dtlz2": dtlz2,
    "dtlz2_3": lambda: dtlz2(3),
    "fonseca": fonseca,
    "ridge_front": lambda: bilevel.load_model("ridge_front"),
    "penalty_per_feature": lambda: with_cost("penalty_per_feature", "lower.w"),
    "elastic_net": lambda: with_cost("elastic_net", "lower.w"),
    "ridge_folds": lambda: bilevel.load_model("ridge_front", {"training": 150}),
}
METHODS = ("gp", "surrogate", "optuna:tpe", "optuna:nsga2", "random")


def fronts_of(model: pyo.ConcreteModel, method: str, budgets: list[int], seed: int) -> tuple[list[np.ndarray], float]:
    """The fronts after so many evaluations, of one run to the last of them, and the seconds it took."""
    began = time.perf_counter()
    result = bilevel.solve(model, method, budget=budgets[-1], seed=seed)
    seconds = time.perf_counter() - began
    costs = np.array([e.costs if e.feasible else [math.inf] * len(result.senses) for e in result.history])
    return [costs[:budget][nondominated(costs[:budget])] for budget in budgets], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--budgets", default="50,100")
    asked = parser.parse_args()
    methods, budgets = asked.methods.split(","), [int(b) for b in asked.budgets.split(",")]
    print(f"{'problem':20} {'method':14}", *(f"{b:>7}" for b in budgets), f"{'seconds':>8}")
    for name in asked.problems.split(","):
        found = {m: [fronts_of(PROBLEMS[name](), m, budgets, seed) for seed in range(asked.seeds)] for m in methods}
        everything = np.vstack([front for runs in found.values() for fronts, _ in runs for front in fronts])
        reference = everything[nondominated(everything)]
        for method, runs in found.items():
            volumes = np.array([[normalised_hypervolume(front, reference) for front in fronts] for fronts, _ in runs])
            row = " ".join(f"{v:7.4f}" for v in volumes.mean(axis=0))
            print(f"{name:20} {method:14} {row} {np.mean([s for _, s in runs]):8.1f}", flush=True)


if __name__ == "__main__":
    main()
