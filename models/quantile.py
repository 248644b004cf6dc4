"""Quantile regression with a lasso's penalty: the follower is a linear program, the penalty one of 31 values.

    min_lambda  1/m sum_validation p(y_i - x_i'w - b)           lambda in {1e-4, ..., 1e-1}, in equal ratios
    s.t.        w, b in argmin { 1/n sum_training p(y_i - x_i'w - b) + lambda sum_j |w_j| }

with the check (or pinball) loss p(r) = 0.8 r for r >= 0 and -0.2 r below: the line that four fifths of the patients are
expected to stay under. Residuals and coefficients are differences of two variables that cannot be negative, as a linear
program has them. Convention: 1/n and lambda, so scikit-learn's QuantileRegressor(alpha) has alpha = lambda.

Diabetes data: the first ``training`` rows train, the next ``validation`` validate, in units as in ``ridge.py``.

Source: Koenker and Bassett (1978), "Regression quantiles", Econometrica 46, 33-50; Li and Zhu (2008), "L1-norm quantile
    regression", Journal of Computational and Graphical Statistics 17 (the penalty); Efron et al. (2004), "Least angle
    regression" (data).
Best known: F = 0.223656356531 at lambda = 0.00630957. Proof: all 31 values were tried, scikit-learn's QuantileRegressor
    gives the same F at each.
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, discretize

KNOWN = {
    "upper_objective": 0.2236563565307399,
    "upper": {"penalty": 0.006309573444801929},
    "tolerance": 1e-6,
    "methods": ["grid", "random"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"
QUANTILE = 0.8


def create_model(training=80, validation=89, levels=31):
    """``training`` rows to fit on, the next ``validation`` to judge by; ``levels`` of the penalty."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)[: training + validation]
    rows = (rows - rows[:training].mean(axis=0)) / rows[:training].std(axis=0)
    fitted, held = rows[:training].tolist(), rows[training:].tolist()

    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(1e-4, 1e-1), initialize=1e-2)
    discretize(model.penalty, levels=levels, scale="log")

    model.lower = LowerLevel()
    follower = model.lower
    columns = range(rows.shape[1] - 1)
    follower.plus, follower.minus = (pyo.Var(columns, bounds=(0, None), initialize=0.0) for _ in range(2))
    follower.b = pyo.Var(initialize=0.0)
    follower.above, follower.below = (pyo.Var(range(training), bounds=(0, None), initialize=0.0) for _ in range(2))
    w = [follower.plus[j] - follower.minus[j] for j in columns]

    def left(row):
        return row[-1] - sum(value * w[j] for j, value in enumerate(row[:-1])) - follower.b

    follower.residual = pyo.Constraint(
        range(training), rule=lambda block, i: block.above[i] - block.below[i] == left(fitted[i])
    )
    check = sum(QUANTILE * follower.above[i] + (1 - QUANTILE) * follower.below[i] for i in range(training))
    size = sum(follower.plus[j] + follower.minus[j] for j in columns)
    follower.obj = pyo.Objective(expr=check / training + model.penalty * size)

    model.obj = pyo.Objective(expr=sum((QUANTILE - 0.5) * left(row) + abs(left(row)) / 2 for row in held) / len(held))
    return model
