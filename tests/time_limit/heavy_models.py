"""Models of different classes, each too large for what it is asked: what is left is the clock."""

import time
from pathlib import Path

import numpy as np
import pyomo.environ as pyo

import bilevel
from bilevel import LowerLevel
from bilevel.files.model_files import load_model

GALLERY = Path(bilevel.__file__).parents[1] / "models"


def tolls(followers=40, roads=6):
    """Travellers of many kinds, each spread over roads of which three are tolled; crowding makes them strongly convex."""
    rng = np.random.default_rng(1)
    m = pyo.ConcreteModel()
    m.toll = pyo.Var(range(3), bounds=(0, 8), initialize=1.0)
    m.kind = LowerLevel(range(followers))
    revenue = 0.0
    for k in range(followers):
        block, cost, crowd = m.kind[k], rng.uniform(1, 9, roads), rng.uniform(0.2, 1.5, roads)
        block.flow = pyo.Var(range(roads), bounds=(0, 4))
        block.all = pyo.Constraint(expr=sum(block.flow[r] for r in range(roads)) == rng.uniform(1, 3))
        toll = [m.toll[r] if r < 3 else 0.0 for r in range(roads)]
        block.obj = pyo.Objective(
            expr=sum((cost[r] + toll[r]) * block.flow[r] + crowd[r] * block.flow[r] ** 2 for r in range(roads))
        )
        revenue += sum(toll[r] * block.flow[r] for r in range(3))
    m.obj = pyo.Objective(expr=revenue, sense=pyo.maximize)
    return m


def quadratic(n=150):
    """A convex quadratic program of n + n variables."""
    rng = np.random.default_rng(2)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(n), bounds=(-2, 2))
    m.low = LowerLevel()
    m.low.y = pyo.Var(range(n), bounds=(-1, 1))
    x, y = m.x, m.low.y
    A, b = rng.normal(size=(n // 3, n)) / np.sqrt(n), rng.uniform(0.5, 1.0, n // 3)
    m.low.rows = pyo.Constraint(range(n // 3), rule=lambda _, i: sum(A[i, j] * y[j] for j in range(n)) <= b[i])
    link = rng.normal(size=(n, 4))
    m.low.obj = pyo.Objective(expr=sum((y[j] - x[j] - link[j, 0] * x[(j + 1) % n]) ** 2 for j in range(n)))
    m.obj = pyo.Objective(expr=sum((x[j] - link[j, 1]) ** 2 + (y[j] - link[j, 2]) ** 2 for j in range(n)))
    return m


def lasso(features=60, rows=200):
    """One penalty on the sum of absolute values, written by two parts of each coefficient."""
    rng = np.random.default_rng(3)
    Z, V = rng.normal(size=(rows, features)), rng.normal(size=(rows, features))
    w = np.where(rng.random(features) < 0.2, rng.normal(size=features), 0.0)
    target, judge = Z @ w + rng.normal(size=rows), V @ w + rng.normal(size=rows)
    m = pyo.ConcreteModel()
    m.penalty = pyo.Var(bounds=(1e-3, 1.0), initialize=0.1)
    m.low = LowerLevel()
    m.low.p = pyo.Var(range(features), bounds=(0, 10))
    m.low.q = pyo.Var(range(features), bounds=(0, 10))
    coefficients = [m.low.p[j] - m.low.q[j] for j in range(features)]
    size = sum(m.low.p[j] + m.low.q[j] for j in range(features))
    m.low.obj = pyo.Objective(expr=bilevel.least_squares(Z, target, coefficients) / (2 * rows) + m.penalty * size)
    m.obj = pyo.Objective(expr=bilevel.least_squares(V, judge, coefficients) / rows)
    return m


def knapsack(items=40):
    """Items are interdicted, the follower packs what is left."""
    rng = np.random.default_rng(4)
    weight, gain = rng.integers(5, 60, items), rng.integers(5, 60, items)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(items), domain=pyo.Binary)
    m.few = pyo.Constraint(expr=sum(m.x[j] for j in range(items)) <= items // 4)
    m.low = LowerLevel()
    m.low.y = pyo.Var(range(items), domain=pyo.Binary)
    y = m.low.y
    m.low.room = pyo.Constraint(expr=sum(int(weight[j]) * y[j] for j in range(items)) <= int(weight.sum()) // 3)
    m.low.free = pyo.Constraint(range(items), rule=lambda _, j: y[j] <= 1 - m.x[j])
    packed = sum(int(gain[j]) * y[j] for j in range(items))
    m.low.obj = pyo.Objective(expr=packed, sense=pyo.maximize)
    m.obj = pyo.Objective(expr=packed)
    return m


def nonconvex(n=8):
    """A follower with many valleys."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(-1, 1), initialize=0.3)
    m.low = LowerLevel()
    m.low.y = pyo.Var(range(n), bounds=(-2, 2))
    x, y = m.x, m.low.y
    m.low.obj = pyo.Objective(
        expr=sum((y[j] ** 2 - 1) ** 2 + 0.3 * x[j % 3] * y[j] for j in range(n))
        + sum(pyo.sin(3 * y[j] * y[(j + 1) % n]) * pyo.cos(x[j % 3] + y[j]) for j in range(n))
    )
    m.obj = pyo.Objective(expr=sum((y[j] - 0.5 * x[j % 3]) ** 2 for j in range(n)))
    return m


def penalties(features=100, rows=300):
    """Ridge regression with a penalty for every coefficient."""
    rng = np.random.default_rng(6)
    Z, V = rng.normal(size=(rows, features)), rng.normal(size=(rows, features))
    w = rng.normal(size=features) * (rng.random(features) < 0.3)
    m = pyo.ConcreteModel()
    m.penalty = pyo.Var(range(features), bounds=(1e-3, 100.0), initialize=0.1)
    for j in range(features):
        bilevel.set_scale(m.penalty[j], "log")
    m.low = LowerLevel()
    m.low.w = pyo.Var(range(features))
    loss = bilevel.least_squares(Z, Z @ w + rng.normal(size=rows), m.low.w) / (2 * rows)
    m.low.obj = pyo.Objective(expr=loss + sum(m.penalty[j] * m.low.w[j] ** 2 for j in range(features)) / 2)
    m.obj = pyo.Objective(expr=bilevel.least_squares(V, V @ w + rng.normal(size=rows), m.low.w) / rows)
    return m


def marketing_mix():
    """The gallery's, some forty thousand instructions."""
    return load_model(str(GALLERY / "marketing_mix.py"))


def linear(n=120, rows=80):
    """A linear follower of moderate size under a linear leader, rows linking both."""
    rng = np.random.default_rng(8)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(n // 2), bounds=(0, 10))
    m.low = LowerLevel()
    m.low.y = pyo.Var(range(n), bounds=(0, 10))
    A, B = rng.integers(0, 5, (rows, n)), rng.integers(-2, 3, (rows, n // 2))
    c, d, e = rng.integers(-5, 6, n), rng.integers(-5, 6, n), rng.integers(-5, 6, n // 2)
    m.low.rows = pyo.Constraint(
        range(rows),
        rule=lambda _, i: (
            sum(int(A[i, j]) * m.low.y[j] for j in range(n)) + sum(int(B[i, k]) * m.x[k] for k in range(n // 2))
            <= 5 * n
        ),
    )
    m.low.obj = pyo.Objective(expr=sum(int(c[j]) * m.low.y[j] for j in range(n)))
    m.obj = pyo.Objective(
        expr=sum(int(d[j]) * m.low.y[j] for j in range(n)) + sum(int(e[k]) * m.x[k] for k in range(n // 2))
    )
    return m


def logistic(features=25, rows=400):
    """A smooth convex follower that is not quadratic: logistic regression with two penalties."""
    rng = np.random.default_rng(9)
    Z = rng.normal(size=(2 * rows, features))
    sign = np.where(Z @ rng.normal(size=features) + rng.normal(size=2 * rows) > 0, 1.0, -1.0)
    m = pyo.ConcreteModel()
    m.penalty = pyo.Var(range(2), bounds=(1e-4, 10.0), initialize=0.1)
    m.low = LowerLevel()
    m.low.w = pyo.Var(range(features), bounds=(-20, 20))
    score = [sign[i] * sum(Z[i, j] * m.low.w[j] for j in range(features)) for i in range(2 * rows)]
    m.low.obj = pyo.Objective(
        expr=sum(pyo.log(1 + pyo.exp(-score[i])) for i in range(rows)) / rows
        + sum(m.penalty[j % 2] * m.low.w[j] ** 2 for j in range(features))
    )
    m.obj = pyo.Objective(expr=sum(pyo.log(1 + pyo.exp(-score[i])) for i in range(rows, 2 * rows)) / rows)
    return m


def patterns(n=14):
    """A follower with integers and a quadratic objective."""
    rng = np.random.default_rng(10)
    Q = rng.normal(size=(n, n))
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(4), bounds=(0, 5), initialize=1.0)
    m.low = LowerLevel()
    m.low.y = pyo.Var(range(n), domain=pyo.Integers, bounds=(0, 4))
    y, P = m.low.y, Q @ Q.T / n
    m.low.room = pyo.Constraint(expr=sum((1 + j % 3) * y[j] for j in range(n)) <= 2 * n + m.x[0])
    shifted = [y[j] - 1.5 - 0.3 * m.x[j % 4] for j in range(n)]
    m.low.obj = pyo.Objective(expr=sum(P[i, j] * shifted[i] * shifted[j] for i in range(n) for j in range(n)))
    m.obj = pyo.Objective(expr=sum((y[j] - 2) ** 2 for j in range(n)) + sum(m.x[k] for k in range(4)))
    return m


def trained(seconds=0.4):
    """A follower that is a training run."""

    def train(x):
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass
        return {"score": (x["a"] - 0.3) ** 2 + x["b"]}

    m = pyo.ConcreteModel()
    m.a = pyo.Var(bounds=(0, 1))
    m.b = pyo.Var(bounds=(0, 1))
    m.low = LowerLevel(response=train)
    m.low.score = pyo.Var()
    m.obj = pyo.Objective(expr=m.low.score)
    return m


MODELS = {
    "tolls": tolls,
    "quadratic": quadratic,
    "lasso": lasso,
    "knapsack": knapsack,
    "nonconvex": nonconvex,
    "penalties": penalties,
    "marketing_mix": marketing_mix,
    "linear": linear,
    "logistic": logistic,
    "patterns": patterns,
    "trained": trained,
}
