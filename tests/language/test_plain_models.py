"""What can be said in several ways is read in one: domains in pieces, odd boxes and rows, components that are no rows."""

from __future__ import annotations

import logging
import math

import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct, Disjunction
from pyomo.mpec import Complementarity, complements
from pyomo.network import Arc, Port

import bilevel
from bilevel import LowerLevel
from bilevel.errors import ModelError
from bilevel.reading.pieces import pieces_of
from bilevel.reading.problem import Problem

EVERY = ["auto", "kkt", "value_function", "mixed_integer", "rational", "upper_boxes", "grid", "random", "surrogate"]
INFINITY = float("inf")


def toy(f=None, F=None):
    """y = x at the best of f = (y - x)^2, and F = (x - 2)^2 + (y - 4)^2 is 2 at x = 3."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.low = LowerLevel()
    model.low.y = pyo.Var(bounds=(0, 20))
    model.low.obj = pyo.Objective(expr=(model.low.y - model.x) ** 2 if f is None else f(model))
    model.obj = pyo.Objective(expr=(model.x - 2) ** 2 + (model.low.y - 4) ** 2 if F is None else F(model))
    return model


def choosing(domain, bounds=(None, None)):
    """y = w, and F = (w - 4.4)^2 + w / 2."""
    model = pyo.ConcreteModel()
    model.w = pyo.Var(within=domain, bounds=bounds)
    model.low = LowerLevel()
    model.low.y = pyo.Var(bounds=(0, 20))
    model.low.obj = pyo.Objective(expr=(model.low.y - model.w) ** 2)
    model.obj = pyo.Objective(expr=(model.w - 4.4) ** 2 + model.low.y / 2)
    return model


def word_of(model, method):
    """What a method says of a model: its refusal, or its result."""
    try:
        return bilevel.solve(model, method, budget=20, time_limit=10)
    except bilevel.errors.BilevelError as error:
        return f"{type(error).__name__}: {error}"


# ------------------------------------------------------------------------------------------------------------- domains

DOMAINS = [
    (lambda: pyo.Set(initialize=[0]) | pyo.RangeSet(8, 9, 0), (None, None), 8.0, 16.96),
    (lambda: pyo.Integers - pyo.Set(initialize=[4]), (0, 10), 5, 2.86),
    (lambda: pyo.Set(initialize=[1, 2.5]) | pyo.RangeSet(6, 7, 0), (0, 20), 2.5, 4.86),
    (lambda: pyo.RangeSet(0, 3, 0) | pyo.RangeSet(4, 4.1, 0), (None, None), 4.1, 2.14),
    (lambda: pyo.RangeSet(0, 5, 0) & pyo.RangeSet(4.3, 8, 0), (None, None), 4.3, 2.16),
    (lambda: pyo.RangeSet(0, None, 3), (1, 10), 3, 3.46),
    (lambda: pyo.Integers | pyo.RangeSet(0, 1, 0), (0.2, 3.5), 3, 3.46),
    (lambda: pyo.Integers, (0.4, 3.7), 3, 3.46),
    (lambda: pyo.Binary, (0, 0.9), 0, 19.36),
]


@pytest.mark.parametrize("method", ["auto", "kkt", "value_function", "random"])
@pytest.mark.parametrize(("domain", "bounds", "w", "best"), DOMAINS)
def test_an_answer_is_a_value_of_its_domain(domain, bounds, w, best, method):
    model = choosing(domain(), bounds)
    result = bilevel.solve(model, method, budget=20, seed=1)
    assert result.upper["w"] in model.w.domain
    assert model.w.value in model.w.domain
    if result.verdict == "certified_global":
        assert result.upper_objective == pytest.approx(best, abs=2e-5)
        assert result.upper["w"] == pytest.approx(w, abs=1e-4)
    else:
        assert method == "random"
        assert result.upper_objective >= best - 1e-6


def test_a_follower_takes_the_nearest_piece_of_his_domain():
    """y is 0 below x = 4, and x or 8 from there on; F draws x to 5."""
    model = toy(F=lambda m: (m.x - 5) ** 2 + m.low.y)
    model.low.y.domain = pyo.Set(initialize=[0]) | pyo.RangeSet(8, 9, 0)
    result = bilevel.solve(model, "grid", budget=21)
    assert result.upper_objective == pytest.approx(1.0, abs=0.6)
    assert all(
        e.lower["low.y"] == pytest.approx(0.0 if e.upper["x"] < 4 else max(8.0, e.upper["x"]), abs=1e-5)
        for e in result.history
        if abs(e.upper["x"] - 4) > 0.05 and e.upper["x"] < 9
    )


def test_a_domain_without_its_end_is_not_left():
    model = choosing(pyo.PositiveReals, (None, 3))
    model.obj.set_value(model.w + model.low.y)
    result = bilevel.solve(model, "kkt")
    assert result.verdict == "certified_global"
    assert 0.0 < result.upper["w"] < 1e-6


@pytest.mark.parametrize("where", ["above", "below"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bounds": (5, 3)}, "has the bounds (5, 3), and no value lies between"),
        ({"within": pyo.Integers, "bounds": (0.2, 0.8)}, "has the bounds (0.2, 0.8), and no integer lies between"),
        ({"within": pyo.NonNegativeReals, "bounds": (None, -1)}, "has the bounds (0, -1), and no value lies between"),
        ({"bounds": (math.nan, 1)}, "non-finite lower bound (nan)"),
        ({"bounds": (INFINITY, None)}, "non-finite lower bound (inf)"),
        ({"bounds": (1e30, None)}, "beyond what solvers count as finite"),
        ({"within": pyo.Any, "bounds": (0, 1)}, "has the domain Any"),
    ],
)
def test_a_box_without_a_value_is_named_alike_by_every_method(where, arguments, words):
    model = toy()
    (model if where == "above" else model.low).v = pyo.Var(**arguments)
    said = {word_of(model, method) for method in EVERY}
    (word,) = said
    assert word.startswith("ModelError: ")
    assert words in word
    assert ("low.v" in word) == (where == "below")


def test_bounds_beyond_every_solver_are_none():
    model = toy()
    model.low.y.setub(1e30)
    assert Problem.read(model).followers[0].variables[0].ub is None
    assert model.low.y.ub == 1e30


def test_pieces_are_apart_and_in_order():
    model = pyo.ConcreteModel()
    model.v = pyo.Var(within=pyo.RangeSet(3, 4, 0) | pyo.Set(initialize=[7, 0.5]) | pyo.RangeSet(3.5, 5, 0))
    assert [(p.low, p.high) for p in pieces_of(model.v)] == [(0.5, 0.5), (3, 5), (7, 7)]


def test_the_users_model_is_not_changed():
    model = toy()
    model.low.v = pyo.Var(within=pyo.Integers, bounds=(0.4, 3.7))
    model.low.choice = Disjunction(expr=[[model.low.y <= 1], [model.low.y >= 5]])
    before = sorted(c.name for c in model.component_objects(descend_into=(pyo.Block, LowerLevel, Disjunct)))
    Problem.read(model)
    assert sorted(c.name for c in model.component_objects(descend_into=(pyo.Block, LowerLevel, Disjunct))) == before
    assert model.low.v.bounds == (0.4, 3.7)
    assert model.low.choice.active


# ---------------------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize("method", ["auto", "kkt", "grid"])
@pytest.mark.parametrize(("where", "best"), [("above", 5.0), ("below", 0.5)])
def test_limits_that_move_are_two_rows(where, best, method):
    model = toy(f=lambda m: (m.low.y - 5) ** 2)
    block = model if where == "above" else model.low
    block.tube = pyo.Constraint(expr=pyo.inequality(model.x - 1, model.low.y, model.x + 1))
    result = bilevel.solve(model, method, budget=41)
    assert result.upper_objective == pytest.approx(best, abs=1e-5 if method != "grid" else 1.0)


@pytest.mark.parametrize("where", ["above", "below"])
@pytest.mark.parametrize(
    "row",
    [
        lambda y: y <= INFINITY,
        lambda y: y >= -INFINITY,
        lambda y: pyo.inequality(-INFINITY, y, INFINITY),
        lambda y: pyo.inequality(-INFINITY, y, 19),
        lambda y: y <= 1e30,
    ],
)
def test_an_infinite_side_is_none(where, row):
    model = toy()
    (model if where == "above" else model.low).row = pyo.Constraint(expr=row(model.low.y))
    for method in ("auto", "kkt"):
        result = bilevel.solve(model, method)
        assert (result.verdict, result.upper_objective) == ("certified_global", pytest.approx(2.0, abs=1e-4))
    assert bilevel.solve(model, "grid", budget=11).upper_objective == pytest.approx(2.25, abs=0.26)


@pytest.mark.parametrize("row", [lambda y: y >= INFINITY, lambda y: y == INFINITY, lambda y: y <= math.nan])
def test_a_row_that_no_number_meets_is_named(row):
    model = toy()
    model.low.row = pyo.Constraint(expr=row(model.low.y))
    with pytest.raises(ModelError, match=r"^low\.row: a bound"):
        Problem.read(model)


def in_bound(m):
    m.low.y.setub(m.p)


def in_side(m):
    m.low.row = pyo.Constraint(expr=m.low.y <= m.p)


def in_body(m):
    m.row = pyo.Constraint(expr=m.low.y * m.p <= 1)


def in_objective(m):
    m.low.obj.set_value((m.low.y - m.p) ** 2)


@pytest.mark.parametrize(
    ("place", "name"), [(in_bound, "low.y"), (in_side, "low.row"), (in_body, "row"), (in_objective, "low.obj")]
)
def test_a_param_without_a_value_is_one_line_that_names_the_component(place, name, caplog):
    model = toy()
    model.p = pyo.Param(mutable=True)
    place(model)
    with caplog.at_level(logging.ERROR, logger="pyomo"):
        said = {word_of(model, method) for method in ("auto", "kkt", "grid")}
    (word,) = said
    assert name in word
    assert "\n" not in word
    assert word.startswith("ModelError")


# ---------------------------------------------------------------------------------------- components that are no rows


def disjunction(m):
    """The follower stays at 1 until x = 60 / 19."""
    m.low.choice = Disjunction(expr=[[m.low.y <= 1], [m.low.y >= 5 + m.x / 10]])


def named_disjuncts(m):
    m.low.near, m.low.far = Disjunct(), Disjunct()
    m.low.near.row, m.low.far.row = pyo.Constraint(expr=m.low.y <= 1), pyo.Constraint(expr=m.low.y >= 5)
    m.low.choice = Disjunction(expr=[m.low.near, m.low.far])
    m.low.logic = pyo.LogicalConstraint(expr=m.low.near.indicator_var.lor(m.low.far.indicator_var))


def disjunction_above(m):
    m.choice = Disjunction(expr=[[m.x <= 1], [m.x >= 5]])


def logic(m):
    m.low.choice = Disjunction(expr=[[m.low.y <= 1], [m.low.y >= 5]])
    m.low.b = pyo.BooleanVar()
    m.low.is_b = pyo.LogicalConstraint(expr=m.low.b.equivalent_to(m.low.component("choice_disjuncts")[0].indicator_var))
    m.want = pyo.LogicalConstraint(expr=m.low.b)


def one_of_three(m):
    m.low.z = pyo.Var([1, 2, 3], bounds=(0, 4))
    m.low.set = pyo.SOSConstraint(var=m.low.z, sos=1)
    m.low.sum = pyo.Constraint(expr=m.low.y == sum(m.low.z.values()))


def complementary(m):
    m.low.w = pyo.Var(bounds=(0, 5))
    m.low.pair = Complementarity(expr=complements(m.low.y - 3 >= 0, m.low.w >= 0))


def ports(m):
    m.low.z = pyo.Var(bounds=(0, 2))
    m.low.one, m.low.other = Port(), Port()
    m.low.one.add(m.low.y, "v")
    m.low.other.add(m.low.z, "v")
    m.low.arc = Arc(source=m.low.one, dest=m.low.other)


ANSWERS = [  # what y is at x = 3.7 and at x = 1.7
    (disjunction, 5.37, 1.0),
    (named_disjuncts, 5.0, 1.0),
    (one_of_three, 3.7, 1.7),
    (complementary, 3.7, 3.0),
    (ports, 2.0, 1.7),
]


@pytest.mark.parametrize(("put", "at_much", "at_little"), ANSWERS)
def test_what_is_no_row_below_becomes_the_followers(put, at_much, at_little):
    model = toy()
    put(model)
    response = bilevel.Response(model)
    place = [v.name for v in response.problem.lower_variables].index("low.y")
    assert [v.name for v in response.problem.variables] == ["x"]
    for x, y in ((3.7, at_much), (1.7, at_little)):
        assert response(response.vector({"x": x})).y[place] == pytest.approx(y, abs=1e-4)


@pytest.mark.parametrize(("put", "best"), [(disjunction_above, 10.0), (logic, 9.0)])
def test_what_is_no_row_above_becomes_the_leaders(put, best):
    model = toy()
    put(model)
    result = bilevel.solve(model, "auto")
    assert result.upper_objective == pytest.approx(best, abs=1e-4)
    assert result.bound == pytest.approx(best, abs=1e-3)
    if put is logic:
        assert model.low.b.value is True


@pytest.mark.parametrize("representation", ["SOS2", "DCC", "DLOG", "CC", "LOG", "MC", "INC", "BIGM_BIN", "BIGM_SOS1"])
def test_piecewise_functions_below(representation, caplog):
    """Pyomo's own big-M rows let z leave a function that is neither convex nor concave."""
    points, values = [0.0, 5.0, 10.0, 15.0, 20.0], [0.0, 3.0, 1.0, 4.0, 0.0]
    model = toy()
    model.low.z = pyo.Var(bounds=(-50, 50))
    with caplog.at_level(logging.ERROR, logger="pyomo"):
        model.low.f = pyo.Piecewise(
            model.low.z, model.low.y, pw_pts=points, f_rule=values, pw_constr_type="EQ", pw_repn=representation
        )
    response = bilevel.Response(model)
    names = [v.name for v in response.problem.lower_variables]
    for x, z in ((2.5, 1.5), (7.5, 2.0)):
        y = response(response.vector({"x": x})).y
        assert y[names.index("low.y")] == pytest.approx(x, abs=1e-4)
        assert y[names.index("low.z")] == pytest.approx(z, abs=1e-3)


def test_what_has_no_bound_is_named_with_the_cure():
    model = toy()
    model.low.y.setub(None)
    disjunction(model)
    with pytest.raises(ModelError, match=r"a Disjunction cannot be made rows: .*finite bounds"):
        Problem.read(model)
    model.low.y.setub(20)
    Problem.read(model)


@pytest.mark.parametrize("where", ["above", "below"])
def test_a_guess_at_big_m_is_not_looked_at(where):
    model = toy()
    block = model if where == "above" else model.low
    variable = model.x if where == "above" else model.low.y
    block.choice = Disjunction(expr=[[variable <= 1], [variable >= 5]])
    block.BigM = pyo.Suffix(direction=pyo.Suffix.LOCAL)
    block.BigM[None] = 0.5
    if where == "above":
        assert bilevel.solve(model, "kkt").upper_objective == pytest.approx(10.0, abs=1e-3)
    else:
        response = bilevel.Response(model)
        assert response.lower_values(response(response.vector({"x": 4.0})).y)["low.y"] == pytest.approx(5.0, abs=1e-6)


@pytest.mark.parametrize("where", ["above", "below"])
def test_the_cure_of_what_is_refused_works_where_it_stands(where):
    from pyomo.dae import ContinuousSet

    model = toy()
    block = model if where == "above" else model.low
    block.t = ContinuousSet(bounds=(0, 1))
    with pytest.raises(ModelError, match=r"is a ContinuousSet.*delete it \(del_component\)"):
        Problem.read(model)
    block.del_component(block.t)
    Problem.read(model)
