"""A first bilevel model: declare both levels, solve it by two independent paths, read the verdict.

A town sets the price x of parking; visitors answer with how long they stay, y. The town wants the largest revenue. Run
it with ``python examples/quickstart.py``.
"""

import pyomo.environ as pyo

import bilevel
from bilevel import LowerLevel


def create_model() -> pyo.ConcreteModel:
    """The leader picks the price x; the follower picks the stay y that is best for her at that price."""
    model = pyo.ConcreteModel("parking")
    model.x = pyo.Var(bounds=(0, 10))  # the leader's variable: euros an hour

    model.lower = LowerLevel()  # what is declared on it belongs to the follower
    model.lower.y = pyo.Var(bounds=(0, 8))  # hours; its bounds are the follower's constraints
    y = model.lower.y
    model.lower.joy = pyo.Objective(expr=10 * y - y**2 - model.x * y, sense=pyo.maximize)

    model.revenue = pyo.Objective(expr=model.x * y, sense=pyo.maximize)
    return model


def main() -> None:
    """Solve exactly, solve by search, compare."""
    model = create_model()
    exact = bilevel.solve(model, method="kkt")
    print(f"kkt:    {exact.verdict}, revenue {exact.upper_objective:.4f}, proved bound {exact.bound:.4f}")

    # At price x she stays (10 - x) / 2 hours, so the revenue x (10 - x) / 2 is largest at x = 5.
    assert exact.verdict == "certified_global"
    assert abs(exact.upper_objective - 12.5) < 1e-4
    assert abs(model.x.value - 5.0) < 1e-2
    assert abs(model.lower.y.value - 2.5) < 1e-2

    searched = bilevel.solve(model, method="random", budget=200, seed=1)
    print(f"random: {searched.verdict}, revenue {searched.upper_objective:.4f}, {searched.evaluations} evaluations")
    assert searched.verdict == "best_found"
    assert searched.bilevel_gap <= 1e-6
    assert 12.3 < searched.upper_objective <= 12.5 + 1e-6

    table = bilevel.compare(create_model(), ["kkt", "grid", "random"], budget=50, seed=1)
    print(table)


if __name__ == "__main__":
    main()
