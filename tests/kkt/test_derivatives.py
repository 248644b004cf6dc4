"""Gradients in the follower's variables: against differences and Pyomo's own, and what is refused."""

from __future__ import annotations

import math

import pyomo.environ as pyo
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyomo.core.expr.calculus.derivatives import reverse_sd

from bilevel.errors import RefusedError
from bilevel.expressions.gradients import Gradients
from bilevel.language.formulas import maximum


@pytest.fixture
def model():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2], initialize={1: 0.3, 2: 0.4})
    m.y = pyo.Var([1, 2, 3], initialize={1: 0.2, 2: 0.5, 3: 0.7})
    m.shared = pyo.Expression(pyo.Any)
    return m


def gradients(m):
    return Gradients(m.y.values(), lambda expression: m.shared.add(len(m.shared), expression))


def difference(expression, var, step=1e-6):
    here = var.value
    ends = []
    for end in (here + step, here - step):
        var.value = end
        ends.append(pyo.value(expression))
    var.value = here
    return (ends[0] - ends[1]) / (2 * step)


TERMS = {
    "sum": lambda x, y: 2 * y[1] - 3 * y[2] + x[1],
    "product": lambda x, y: x[1] * y[1] * y[2] * y[1],
    "quotient": lambda x, y: (y[1] + x[1]) / (1 + y[2] ** 2),
    "powers": lambda x, y: y[1] ** 3 + y[2] ** x[1] + 2 ** y[3] + y[2] ** y[3] + y[1] ** 1,
    "negation": lambda x, y: -(y[1] * y[2]),
    "exponential": lambda x, y: pyo.exp(y[1] * y[2]) + pyo.log(y[3]) + pyo.log10(y[2]) + pyo.sqrt(y[3]),
    "circular": lambda x, y: pyo.sin(y[1]) * pyo.cos(y[2]) + pyo.tan(y[3]) + pyo.atan(y[1]),
    "arcs": lambda x, y: pyo.asin(y[1]) + pyo.acos(y[2]),
    "hyperbolic": lambda x, y: pyo.sinh(y[1]) + pyo.cosh(y[2]) + pyo.tanh(y[3]),
    "areas": lambda x, y: pyo.asinh(y[1]) + pyo.acosh(1 + y[2]) + pyo.atanh(y[3]),
    "data": lambda x, y: abs(x[1]) * y[1] + maximum([x[1], x[2]]) * y[2] + pyo.floor(x[2]) * y[3],
    "choice by the leader": lambda x, y: pyo.Expr_if(x[1] >= 0.1, y[1] * y[2], y[3]),
}


@pytest.mark.parametrize("term", TERMS)
def test_every_operation_agrees_with_differences(model, term):
    expression = TERMS[term](model.x, model.y)
    found = gradients(model)(expression, "obj")
    for var in model.y.values():
        assert pyo.value(found.get(id(var), 0.0)) == pytest.approx(difference(expression, var), abs=1e-7)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(-3, 3)), min_size=1, max_size=6))
def test_polynomials_agree_with_pyomo(factors):
    m = pyo.ConcreteModel()
    m.y = pyo.Var([1, 2, 3], initialize={1: 0.3, 2: -0.7, 3: 1.1})
    expression = sum(c * m.y[i] * m.y[j] ** 2 for i, j, c in factors) + m.y[1]
    theirs = reverse_sd(expression)
    found = Gradients(m.y.values(), lambda e: e)(expression, "obj")
    for var in m.y.values():
        expected = pyo.value(theirs[var]) if var in theirs else 0.0
        assert pyo.value(found.get(id(var), 0.0)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (lambda x, y: abs(y[1]), "abs"),
        (lambda x, y: maximum([y[1], x[1]]), "max"),
        (lambda x, y: pyo.floor(y[1] + x[1]), "floor"),
        (lambda x, y: pyo.Expr_if(y[1] >= 0, y[1], 0), "branches"),
    ],
)
def test_a_kink_in_y_is_refused_and_the_cure_named(model, expression, words):
    with pytest.raises(RefusedError, match=rf"lower\.obj.*{words}.*epigraph"):
        gradients(model)(2 * expression(model.x, model.y), "lower.obj")


def test_data_is_never_differentiated(model):
    """A long recursion over x costs nothing, and stays shared."""
    model.chain = pyo.Expression(range(5000))
    for t in range(5000):
        model.chain[t] = 1.0 + model.x[1] * model.chain[t - 1] if t else 1.0
    found = gradients(model)(model.chain[4999] * model.y[1] ** 2, "obj")
    assert set(found) == {id(model.y[1])}
    assert len(model.shared) == 0


def test_the_adjoint_of_a_named_expression_is_named(model):
    """n residuals of p terms: the gradient has n p products, not n p p."""
    y = model.y
    model.residual = pyo.Expression(range(50))
    for t in range(50):
        model.residual[t] = sum(math.sin(t + j) * y[j] for j in y) - 1.0
    found = gradients(model)(sum(pyo.exp(model.residual[t]) ** 2 for t in range(50)), "obj")
    assert len(model.shared) == 50
    for var in y.values():
        assert pyo.value(found[id(var)]) == pytest.approx(
            difference(sum(pyo.exp(e) ** 2 for e in model.residual.values()), var), rel=1e-6
        )


def test_fixed_variables_and_params_are_data(model):
    model.p = pyo.Param(mutable=True, initialize=3)
    model.y[2].fix(2.0)
    found = Gradients([v for v in model.y.values() if not v.fixed], lambda e: e)(
        model.p * model.y[1] * model.y[2], "obj"
    )
    assert {key: pyo.value(e) for key, e in found.items()} == {id(model.y[1]): 6.0}
    model.p = 5
    assert pyo.value(found[id(model.y[1])]) == 10.0
