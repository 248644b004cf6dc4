"""Gradient boosting of regression trees: integers, logarithms, categories, and one parameter of one category alone.

    min_x  1/m sum_validation (f_x(x_i) - y_i)^2
    s.t.   f_x = the trees that boosting by x fits to the training rows

    loss      squared_error, absolute_error or huber
    quantile  0.5, 0.7 or 0.9: beyond which a residual counts linearly; of the Huber loss alone (``ActiveWhen``)
    rate      0.02, ..., 0.5 in five steps of equal ratio: by how much each tree is shrunk
    trees     20, 40 or 80
    depth     1, ..., 4: of each tree
    leaf      1, 5 or 20 rows at least in every leaf

The follower is a function: scikit-learn's GradientBoostingRegressor (extra ``learn``). Diabetes data, split and
units as in ``ridge.py``.

Source: Friedman (2001), "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29,
    1189-1232; Efron et al. (2004), "Least angle regression" (data).
Best known: F = 0.514899683067 with the Huber loss, quantile 0.7, rate 0.2236, 20 trees of depth 4, leaves of 5 rows.
    Proof: all 900 points were evaluated (scikit-learn 1.9). The best with squares is 0.534203.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import ActiveWhen, LowerLevel, discretize

KNOWN = {
    "upper_objective": 0.514899683066623,
    "upper": {"loss": "huber", "quantile": 0.7, "rate": 0.22360679774997896, "trees": 20, "depth": 4, "leaf": 5},
    "tolerance": 1e-3,
    "methods": ["grid"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"


def boost(x, X, y, X_v, y_v):
    """The follower's answer to the leader's choice ``x``."""
    from sklearn.ensemble import GradientBoostingRegressor

    trees = GradientBoostingRegressor(
        loss=x["loss"],
        alpha=x["quantile"],
        learning_rate=x["rate"],
        n_estimators=x["trees"],
        max_depth=x["depth"],
        min_samples_leaf=x["leaf"],
        random_state=0,
    ).fit(X, y)
    return {"error": float(np.mean((trees.predict(X_v) - y_v) ** 2))}


def create_model(training=265, validation=89):
    """``training`` rows to fit on, the next ``validation`` to judge by."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)
    rows = (rows - rows[:training].mean(axis=0)) / rows[:training].std(axis=0)
    X, y = rows[:training, :-1], rows[:training, -1]
    X_v, y_v = rows[training:, :-1][:validation], rows[training:, -1][:validation]

    model = pyo.ConcreteModel()
    model.loss = pyo.Var(within=pyo.Set(initialize=["squared_error", "absolute_error", "huber"]))
    model.quantile = pyo.Var(within=pyo.Set(initialize=[0.5, 0.7, 0.9]))
    model.only_huber = ActiveWhen(model.quantile, model.loss, ["huber"])
    model.rate = pyo.Var(bounds=(0.02, 0.5))
    discretize(model.rate, levels=5, scale="log")
    model.trees = pyo.Var(within=pyo.Set(initialize=[20, 40, 80]))
    model.depth = pyo.Var(within=pyo.Integers, bounds=(1, 4))
    model.leaf = pyo.Var(within=pyo.Set(initialize=[1, 5, 20]))

    model.lower = LowerLevel(response=partial(boost, X=X, y=y, X_v=X_v, y_v=y_v))
    model.lower.error = pyo.Var(bounds=(0, None), initialize=1.0)
    model.obj = pyo.Objective(expr=model.lower.error)
    return model
