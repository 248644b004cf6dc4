"""Three arithmetics that must agree: Pyomo's own, our floats, and CasADi's compiled graph."""

from __future__ import annotations

import math

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.errors import UntranslatableError
from bilevel.expressions.translation import Arithmetic, Translator, evaluator, mentioned, to_casadi
from bilevel.graphs.compiled import Compiled

COUNT = 3
VARIABLES = pyo.ConcreteModel()
VARIABLES.v = pyo.Var(range(COUNT))
VARIABLES.p = pyo.Param(initialize=1.5, mutable=True)
VARIABLES.fixed = pyo.Var(initialize=-0.75)
VARIABLES.fixed.fix()

constants = st.floats(-3, 3).map(lambda v: round(v, 2)) | st.integers(-3, 3)
points = st.lists(st.floats(-2, 2).map(lambda v: round(v, 3)), min_size=COUNT, max_size=COUNT)
leaves = st.sampled_from([*VARIABLES.v.values(), VARIABLES.p, VARIABLES.fixed]) | constants

SAFE = {  # each defined wherever its argument is, and of moderate growth
    "sin": pyo.sin,
    "cos": pyo.cos,
    "tanh": pyo.tanh,
    "atan": pyo.atan,
    "asinh": pyo.asinh,
    "neg": lambda a: -a,
    "abs": abs,
    "exp": lambda a: pyo.exp(-(a**2)),
    "log": lambda a: pyo.log(1.5 + a**2),
    "log10": lambda a: pyo.log10(1.5 + a**2),
    "sqrt": lambda a: pyo.sqrt(1.0 + a**2),
    "square": lambda a: a**2,
    "reciprocal": lambda a: 1 / (1 + a**2),
    "power": lambda a: (1 + a**2) ** 0.3,
    "cosh": lambda a: pyo.cosh(pyo.tanh(a)),
    "sinh": lambda a: pyo.sinh(pyo.tanh(a)),
    "acosh": lambda a: pyo.acosh(2 + a**2),
    "atanh": lambda a: pyo.atanh(0.5 * pyo.sin(a)),
    "asin": lambda a: pyo.asin(0.5 * pyo.sin(a)),
    "acos": lambda a: pyo.acos(0.5 * pyo.sin(a)),
    "tan": lambda a: pyo.tan(0.5 * pyo.sin(a)),
    "named": lambda a: _named(a),
}
PAIRS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (2 + b**2),
    "pow": lambda a, b: (1.5 + pyo.sin(a)) ** pyo.tanh(b),
    "max": lambda a, b: _extreme("MaxExpression", a, b),
    "min": lambda a, b: _extreme("MinExpression", a, b),
    "if": lambda a, b: pyo.Expr_if(IF=a <= b, THEN=a - b, ELSE=2 * b),
}


def _named(a):
    expression = pyo.Expression(expr=a)
    expression.construct()
    return expression


def _extreme(kind, a, b):
    from pyomo.core.expr import numeric_expr

    return getattr(numeric_expr, kind)([a, b, 0.5])


expressions = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(st.sampled_from(sorted(SAFE)), inner).map(lambda t: SAFE[t[0]](t[1]))
        | st.tuples(st.sampled_from(sorted(PAIRS)), inner, inner).map(lambda t: PAIRS[t[0]](t[1], t[2]))
        | st.lists(inner, min_size=2, max_size=5).map(sum)
    ),
    max_leaves=12,
)


def compiled_value(expression, point):
    x = ca.SX.sym("x", COUNT)
    places = {id(var): x[k] for k, var in VARIABLES.v.items()}
    symbol = ca.SX(to_casadi(lambda node: places.get(id(node)))(expression))
    return float(Compiled([x], [symbol])(np.array(point))[0][0])


@given(expressions, points)
def test_the_three_arithmetics_agree(expression, point):
    for k, value in enumerate(point):
        VARIABLES.v[k].set_value(value)
    expected = float(pyo.value(expression))
    if not math.isfinite(expected) or abs(expected) > 1e12:
        return
    ours = float(evaluator({id(v): point[k] for k, v in VARIABLES.v.items()})(expression))
    assert ours == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert compiled_value(expression, point) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(expressions, points, points)
def test_the_floats_do_not_look_at_the_models_values(expression, point, other):
    for k in range(COUNT):
        VARIABLES.v[k].set_value(other[k])
    ours = evaluator({id(v): point[k] for k, v in VARIABLES.v.items()})(expression)
    for k in range(COUNT):
        VARIABLES.v[k].set_value(point[k])
    expected = float(pyo.value(expression))
    if math.isfinite(expected):
        assert float(ours) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(expressions)
def test_mentioned_finds_what_pyomo_finds(expression):
    from pyomo.core.expr.visitor import identify_variables

    found = mentioned([expression])
    expected = (
        {id(v): v for v in identify_variables(expression, include_fixed=False)} if hasattr(expression, "args") else {}
    )
    if not hasattr(expression, "args") and any(expression is v for v in VARIABLES.v.values()):
        expected = {id(expression): expression}
    assert set(found) == set(expected)


def test_each_named_expression_is_visited_once():
    """A[t] = x[t] + theta A[t-1]: 5,000 steps, and used twice in each step, which a plain walk would take 2**5000 for."""
    steps = 5_000
    model = pyo.ConcreteModel()
    model.theta = pyo.Var(initialize=0.5)
    model.x = pyo.Param(range(steps), initialize=lambda m, t: 1.0 + t % 7, mutable=True)
    model.A = pyo.Expression(range(steps))
    model.A[0].set_value(model.x[0])
    for t in range(1, steps):
        model.A[t].set_value(model.x[t] + 0.5 * model.theta * model.A[t - 1] + 0.25 * model.theta * model.A[t - 1])
    theta, calls = ca.SX.sym("theta"), []

    def leaf(node):
        calls.append(node)
        return theta if node is model.theta else None

    symbol = to_casadi(leaf)(model.A[steps - 1])
    assert len(calls) == steps + 2 * (steps - 1)
    adstock = 1.0
    for t in range(1, steps):
        adstock = 1.0 + t % 7 + 0.75 * 0.3 * adstock
    assert float(Compiled([theta], [symbol])([0.3])[0][0]) == pytest.approx(adstock, rel=1e-12)
    assert evaluator({id(model.theta): 0.3})(model.A[steps - 1]) == pytest.approx(adstock, rel=1e-12)
    assert list(mentioned([model.A[steps - 1]]).values()) == [model.theta]


def test_a_chain_of_unnamed_operations_does_not_meet_the_recursion_limit():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(initialize=0.5)
    expression = model.x
    for _ in range(5_000):
        expression = pyo.sin(expression + 1.0)
    expected = 0.5
    for _ in range(5_000):
        expected = math.sin(expected + 1.0)
    assert evaluator({})(expression) == pytest.approx(expected)
    x = ca.SX.sym("x")
    assert float(Compiled([x], [to_casadi(lambda n: x)(expression)])([0.5])[0][0]) == pytest.approx(expected)
    assert len(mentioned([expression])) == 1


def test_one_translator_shares_named_expressions_between_levels():
    model = pyo.ConcreteModel()
    model.x = pyo.Var()
    model.e = pyo.Expression(expr=pyo.exp(model.x))
    calls = []
    translate = Translator(lambda node: calls.append(node) or 1.0, Arithmetic())
    assert translate(model.e + 1) == pytest.approx(math.e + 1)
    assert translate(2 * model.e) == pytest.approx(2 * math.e)
    assert len(calls) == 1


@pytest.mark.parametrize("value", [-1.0, 0.0, 2.0])
def test_pieces_and_extremes_at_their_edges(value):
    v = VARIABLES.v[0]
    for expression in (
        abs(v),
        pyo.Expr_if(IF=v >= 0, THEN=v, ELSE=-2 * v),
        pyo.Expr_if(IF=v < 0, THEN=1.0, ELSE=2.0),
        pyo.Expr_if(IF=v == 0, THEN=1.0, ELSE=2.0),
        _extreme("MaxExpression", v, -v),
        _extreme("MinExpression", v, 3),
    ):
        v.set_value(value)
        expected = float(pyo.value(expression))
        assert float(evaluator({id(v): value})(expression)) == expected
        assert compiled_value(expression, [value, 0.0, 0.0]) == expected


def test_conditions_over_constants():
    v = VARIABLES.v[0]
    expression = pyo.Expr_if(IF=VARIABLES.p <= 2.0, THEN=v, ELSE=-v)
    assert compiled_value(expression, [3.0, 0, 0]) == 3.0
    assert float(evaluator({id(v): 3.0})(expression)) == 3.0


@pytest.mark.parametrize("bad", ["log", "sqrt", "acos"])
def test_outside_a_functions_domain_nothing_is_raised(bad):
    v = VARIABLES.v[0]
    expression = getattr(pyo, bad)(v) + 1
    assert not math.isfinite(evaluator({id(v): -2.0})(expression))
    assert not math.isfinite(compiled_value(expression, [-2.0, 0, 0]))


@pytest.mark.parametrize(
    "build", [lambda v: v / (v - 1), lambda v: (v - 1) ** -1.5, lambda v: pyo.log(v - 1), lambda v: pyo.exp(1000 * v)]
)
def test_at_a_pole_nothing_is_raised(build):
    v = VARIABLES.v[0]
    assert not math.isfinite(evaluator({id(v): 1.0})(build(v)))
    assert not math.isfinite(compiled_value(build(v), [1.0, 0, 0]))


def test_a_number_is_an_expression():
    assert evaluator({})(3) == 3.0
    assert to_casadi(lambda n: None)(np.float64(2.5)) == 2.5
    assert mentioned([1.0, 2]) == {}


def test_what_has_no_form_is_named():
    model = pyo.ConcreteModel()
    model.b = pyo.BooleanVar()
    model.x = pyo.Var(initialize=1)
    with pytest.raises(UntranslatableError, match="RangedExpression"):
        to_casadi(lambda n: None)(pyo.Expr_if(IF=pyo.inequality(0, model.x, 1), THEN=1.0, ELSE=model.x))
    with pytest.raises(UntranslatableError, match="'seven' is not a number"):
        evaluator({})("seven")


def test_compiled_functions_are_not_pickled():
    import pickle

    x = ca.SX.sym("x")
    with pytest.raises(TypeError, match="worker"):
        pickle.dumps(Compiled([x], [x]))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (1, 4), (4, 1), (2, 3)])
def test_compiled_outputs_have_their_shapes(shape):
    x = ca.SX.sym("x", 2)
    matrix = ca.SX.zeros(*shape)
    numbers = np.zeros(shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            matrix[i, j] = (i + 1) * x[0] + j * x[1]
            numbers[i, j] = (i + 1) * 2.0 + j * 3.0
    (result,) = Compiled([x], [matrix])([2.0, 3.0])
    assert np.array_equal(result, numbers[:, 0] if shape[1] == 1 else numbers)
