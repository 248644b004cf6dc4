"""The Hessian of a large dense quadratic objective is read in numbers, and is the one that was written."""

import numpy as np
import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel
from bilevel.programs import program as programs
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem

N = 12


def quadratic(weight):
    """``y' Q y`` with every product written out, times the weight."""
    q = np.random.default_rng(0).standard_normal((N, N))
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(1, 2), initialize=1.5)
    m.lower = LowerLevel()
    y = m.lower.y = pyo.Var(range(N), bounds=(-1, 1))
    form = sum(float(q[i, j]) * y[i] * y[j] for i in range(N) for j in range(N))
    m.lower.obj = pyo.Objective(expr=form * weight(m) - m.x * sum(y[i] for i in range(N)))
    m.obj = pyo.Objective(expr=m.x + y[0])
    (follower,) = Compilation.of(Problem.read(m)).programs.values()
    return follower, q + q.T


@pytest.mark.parametrize("limit", [0, 1_000_000])
def test_a_constant_one(monkeypatch, limit):
    monkeypatch.setattr(programs, "_LARGE_GRAPH", limit)
    follower, hessian = quadratic(lambda m: 1.0)
    assert follower.hessian.is_constant()
    found = np.array(programs.ca.DM(programs.ca.evalf(follower.hessian)))
    assert (found == found.T).all()
    assert found == pytest.approx(hessian, rel=1e-14, abs=1e-14)


def test_one_that_moves_with_x_stays_symbolic(monkeypatch):
    monkeypatch.setattr(programs, "_LARGE_GRAPH", 0)
    follower, hessian = quadratic(lambda m: m.x)
    assert not follower.hessian.is_constant()
    at = programs.ca.Function("at", [follower.parameters], [follower.hessian])(1.5)
    assert at.full() == pytest.approx(1.5 * hessian, rel=1e-13)
