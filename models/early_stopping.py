"""A small neural network trained by epochs: bad points are seen early, and given up (``fidelity``).

    min_x  1/m sum_validation l(f_x(x_i), y_i)                l(z, y) = log(1 + exp(-y z))
    s.t.   f_x = the network after x.epochs epochs of stochastic gradient descent with momentum by x

    rate      1e-3, ..., 1, searched in logarithms
    decay     1e-5, ..., 1e-1, searched in logarithms: of the weights
    momentum  0, ..., 0.95
    hidden    4, 8, 16 or 32 units, tanh
    epochs    27, the fidelity: never searched, 27 in the answer; a pruner looks at 1, 3 and 9 first

    python -m bilevel.solve early_stopping --method random --budget 60 --pruner hyperband

Breast cancer data, split and units as in ``logistic_ridge.py``. The follower is a function of numpy alone; its weights
and the order of its rows are drawn with one seed, so that it repeats itself.

Source: Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar (2018), "Hyperband", Journal of Machine Learning Research 18;
    Street, Wolberg and Mangasarian (1993), "Nuclear feature extraction for breast tumor diagnosis" (data).
Best known: F = 0.0769450466, found by 60 evaluations of ``surrogate`` (seed 0); no proof, more of them do better.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, fidelity, set_scale

KNOWN = {
    "upper_objective": 0.07694504655320995,
    "tolerance": 0.1,
    "methods": ["random"],
}

DATA = Path(__file__).parent / "data" / "breast_cancer.csv"
BATCH = 16


def train(x, X, y, X_v, y_v):
    """The follower's answer to the leader's choice ``x``."""
    rng = np.random.default_rng(0)
    weights = [
        rng.normal(size=(X.shape[1], x["hidden"])) / np.sqrt(X.shape[1]),
        np.zeros(x["hidden"]),
        rng.normal(size=x["hidden"]) / np.sqrt(x["hidden"]),
        np.zeros(1),
    ]
    speeds = [np.zeros_like(w) for w in weights]
    for _ in range(int(x["epochs"])):
        order = rng.permutation(len(y))
        for rows in np.split(order, range(BATCH, len(y), BATCH)):
            for w, speed, slope in zip(weights, speeds, slopes(weights, X[rows], y[rows]), strict=True):
                speed *= x["momentum"]
                speed -= x["rate"] * (slope + x["decay"] * w)
                w += speed
    return {"loss": float(np.mean(np.logaddexp(0.0, -y_v * output(weights, X_v)[1])))}


def output(weights, X):
    """The hidden units and the output for some rows."""
    W, b, v, c = weights
    hidden = np.tanh(X @ W + b)
    return hidden, hidden @ v + c


def slopes(weights, X, y):
    """Derivatives of the rows' mean loss by each weight."""
    hidden, z = output(weights, X)
    back = -y / (1.0 + np.exp(np.clip(y * z, -50.0, 50.0))) / len(y)
    inner = np.outer(back, weights[2]) * (1.0 - hidden**2)
    return X.T @ inner, inner.sum(axis=0), hidden.T @ back, back.sum(keepdims=True)


def create_model(training=285, validation=142, epochs=27):
    """``training`` rows to fit on, the next ``validation`` to judge by; ``epochs`` of a whole training."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)[: training + validation]
    X, y = rows[:, :-1], 2.0 * rows[:, -1] - 1.0
    X = (X - X[:training].mean(axis=0)) / X[:training].std(axis=0)

    model = pyo.ConcreteModel()
    model.rate = pyo.Var(bounds=(1e-3, 1.0))
    model.decay = pyo.Var(bounds=(1e-5, 1e-1))
    for var in (model.rate, model.decay):
        set_scale(var, "log")
    model.momentum = pyo.Var(bounds=(0.0, 0.95))
    model.hidden = pyo.Var(within=pyo.Set(initialize=[4, 8, 16, 32]))
    model.epochs = pyo.Var(within=pyo.Integers, bounds=(1, epochs))
    fidelity(model.epochs)

    data = {"X": X[:training], "y": y[:training], "X_v": X[training:], "y_v": y[training:]}
    model.lower = LowerLevel(response=partial(train, **data))
    model.lower.loss = pyo.Var(bounds=(0, None), initialize=1.0)
    model.obj = pyo.Objective(expr=model.lower.loss)
    return model
