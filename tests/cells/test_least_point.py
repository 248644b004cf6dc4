"""The engine for nonconvex programs of few variables, against dense grids."""

from __future__ import annotations

import casadi as ca
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilevel import registry
from bilevel.contracts.engine import Engine
from bilevel.programs.answer import Status
from bilevel.programs.program import Program

GRID = {1: 4001, 2: 161, 3: 35}


def program(f, y, p, rows=(), most=()):
    n, m = int(y.numel()), len(rows)
    return Program(
        name="f",
        parameters=p,
        variables=y,
        objective=f,
        rows=ca.vertcat(*rows) if rows else ca.SX(0, 1),
        row_lower=np.full(m, -np.inf),
        row_upper=np.array(most, dtype=float),
        lower=np.full(n, -1.1),
        upper=np.full(n, 1.3),
        integer=np.zeros(n, dtype=bool),
        names=tuple(f"y[{k}]" for k in range(n)),
        row_names=tuple(f"row[{k}]" for k in range(m)),
    )


def term(rng, y, p):
    n = int(y.numel())
    (i, j), a = rng.integers(0, n, 2), float(rng.normal())
    forms = (
        lambda: y[i] * y[j],
        lambda: y[i] ** 3,
        lambda: y[i] ** 4,
        lambda: ca.sin(3 * y[i] + y[j]),
        lambda: ca.exp(-y[i] * y[j]),
        lambda: y[i] ** 2 * y[j],
        lambda: ca.fabs(y[i] - 0.3),
        lambda: p * y[i],
    )
    return a * forms[int(rng.integers(0, len(forms)))]()


def on_a_grid(prog, at):
    axes = [np.linspace(a, b, GRID[prog.n]) for a, b in zip(prog.lower, prog.upper, strict=True)]
    points = np.array([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    values, rows = ca.Function("f", [prog.parameters, prog.variables], [prog.objective, prog.rows])(at, ca.DM(points))
    meets = (rows.full() <= prog.row_upper[:, None]).all(axis=0) if prog.m else np.ones(points.shape[1], dtype=bool)
    return points[:, meets], values.full()[0][meets]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 2))
def test_against_a_grid(seed, n, m):
    rng = np.random.default_rng(seed)
    y, p = ca.SX.sym("y", n), ca.SX.sym("p")
    f = sum((term(rng, y, p) for _ in range(4)), ca.SX(0))
    rows = [term(rng, y, p) + term(rng, y, p) for _ in range(m)]
    prog = program(f, y, p, rows, 0.5 * rng.normal(size=m))
    engine = registry.get(Engine, "cells")()
    if not engine.suits(prog):  # linear, or without variables
        return
    answer = engine.prepare(prog)(np.array([0.2]))
    points, values = on_a_grid(prog, 0.2)
    if answer.status is Status.INFEASIBLE:
        assert not len(values)
        return
    assert answer.status is Status.OPTIMAL
    assert prog.violation(np.array([0.2]), answer.y) <= 1e-6
    assert answer.bound <= answer.objective
    if len(values):
        scale = max(1.0, abs(values.min()))
        assert answer.bound <= values.min() + 1e-9 * scale
        assert answer.objective <= values.min() + 1e-6 * scale
        if answer.unique:
            close = values <= answer.objective + 1e-10
            assert (np.abs(points[:, close] - answer.y[:, None]) <= 1e-2).all()


@pytest.mark.parametrize(
    ("write", "least", "unique"),
    [
        (lambda y: -(y[0] ** 2) + 0.01 * y[0], -1.69 + 0.013, True),  # the farther end
        (lambda y: (y[0] ** 2 - 0.25) ** 2, 0.0, False),  # two valleys
        (lambda y: (y[0] ** 2 - 0.25) ** 2 + 1e-4 * y[0], -5e-5 - 2.5e-9, True),  # one of them deeper by 1e-4
        (lambda y: 0 * y[0] + y[1] ** 2, 0.0, False),  # an edge of optima
    ],
)
def test_known_optima_to_ten_digits(write, least, unique):
    y, p = ca.SX.sym("y", 2), ca.SX.sym("p")
    prog = program(write(y) + (y[1] - 0.2) ** 4 * y[1] ** 2 * 0 + y[1] ** 2, y, p)
    answer = registry.get(Engine, "cells")().prepare(prog)(np.array([0.0]))
    assert answer.objective == pytest.approx(least, abs=2e-9)
    assert answer.objective - answer.bound <= 1e-10
    assert answer.unique is unique


def test_what_it_leaves_to_others():
    y, p = ca.SX.sym("y", 2), ca.SX.sym("p")
    suits = registry.get(Engine, "cells")().suits
    wavy = ca.sin(5 * y[0]) * y[1]
    assert suits(program(wavy, y, p)) > 0.55
    assert 0.5 < suits(program(wavy, y, p, [y[0] * y[1]], [0.5])) < 0.55
    assert suits(program(wavy, y, p).but(lower=np.array([-np.inf, 0.0]))) == 0.0
    assert suits(program(wavy, y, p).but(integer=np.array([True, False]))) == 0.0
    assert suits(program(y[0] + y[1], y, p)) == 0.0
    equal = program(wavy, y, p, [y[0] + y[1]], [0.5]).but(row_lower=np.array([0.5]))
    assert suits(equal) == 0.0
