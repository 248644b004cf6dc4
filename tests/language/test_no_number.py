"""What is no number, whatever the variables are, is named where it stands; and what may be one is left alone."""

from __future__ import annotations

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import BilevelError, LowerLevel


def _model(p=0.0):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 10))
    m.p = pyo.Param(mutable=True, initialize=p)
    m.empty = pyo.Expression([1, 2])
    m.low = LowerLevel()
    m.low.y = pyo.Var(bounds=(0, 20))
    return m


def _solve(m, f=None, above=None, method="auto"):
    y = m.low.y
    m.low.obj = pyo.Objective(expr=(y - m.x) ** 2 if f is None else f)
    m.obj = pyo.Objective(expr=(m.x - 2) ** 2 + (y - 4) ** 2 if above is None else above)
    return bilevel.solve(m, method, budget=3, time_limit=5)


_BELOW = {
    "a quotient": lambda m: (m.low.y - (m.x + 1) / m.p) ** 2,
    "a factor": lambda m: (m.low.y - m.x / m.p) ** 2,
    "a logarithm": lambda m: (m.low.y - m.x * pyo.log(m.p - 1)) ** 2,
    "a root beside": lambda m: (m.low.y - m.x) ** 2 + m.low.y * pyo.sqrt(m.p - 1),
    "a power": lambda m: (m.low.y - m.x) ** 2 + m.low.y * m.p**-1,
    "an empty expression": lambda m: (m.low.y - m.x) ** 2 + m.empty[2],
}


@pytest.mark.parametrize("name", _BELOW)
@pytest.mark.parametrize("method", ["auto", "random"])
def test_below_the_objective_is_named(name, method):
    m = _model()
    with pytest.raises(BilevelError, match=r"^low\.obj: .*(is no number|has no expression)"):
        _solve(m, _BELOW[name](m), method=method)


@pytest.mark.parametrize("name", _BELOW)
def test_above_it_is_named_too(name):
    m = _model()
    with pytest.raises(BilevelError, match=r"^obj: .*(is no number|has no expression)"):
        _solve(m, above=_BELOW[name](m), method="kkt")


@pytest.mark.parametrize("place", ["low", "model"])
@pytest.mark.parametrize("name", ["a root", "an empty expression"])
def test_a_row_is_named_with_its_index(place, name):
    m = _model(-1.0)
    home = m.low if place == "low" else m
    body = m.low.y * pyo.sqrt(m.p) + m.low.y**2 if name == "a root" else m.empty[1] + m.low.y
    home.row = pyo.Constraint([4], rule=lambda _, k: body <= 3 + m.x)
    with pytest.raises(BilevelError, match=r"row\[4\]: .*(is no number|has no expression)"):
        _solve(m)


def test_a_branch_that_is_never_taken_may_be_no_number():
    m = _model()
    result = _solve(m, (m.low.y - m.x) ** 2 + pyo.Expr_if(m.p > 0, m.x / m.p, 0.0))
    assert abs(result.upper_objective - 2.0) < 1e-4


def test_a_parameter_is_not_told_to_stay_unfixed():
    m = _model()
    m.q = pyo.Param(mutable=True)
    with pytest.raises(BilevelError) as error:
        _solve(m, (m.low.y - m.q * m.x) ** 2)
    assert str(error.value) == "low.obj: q has no value; give it one"


_CALLS = {
    "enqueue": [[3], {"x": 3}, 3, "x=3", None],
    "callbacks": [3, [3], None],
    "observer": [3, print],
}


@pytest.mark.parametrize("name", _CALLS)
@pytest.mark.parametrize("several", [False, True])
def test_what_is_no_list_of_points_or_functions_is_named(name, several):
    model = bilevel.load_model("toy")
    for value in _CALLS[name]:
        call, method = (bilevel.compare, ["random"]) if several else (bilevel.solve, "random")
        with pytest.raises(BilevelError, match=f"^{name}="):
            call(model, method, budget=3, **{name: value})
