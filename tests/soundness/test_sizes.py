"""Tolerances of bounds and rows are relative to what a variable or a row varies by: units are nobody's excuse."""

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, tolerances
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.verify.verifier import Verifier

UNITS = [1e-9, 1e-6, 1e-3, 1.0, 1e4, 1e8]


@pytest.mark.parametrize(
    ("value", "spread", "expected"),
    [
        (0.0, (0.5, 1.0), 1.0),
        (0.0, (5.0, 10.0), 1.0),
        (10.0, (5.0, 10.0), 10.0),
        (0.0, (5e-7, 1e-6), 1e-6),
        (1e-6, (5e-7, 1e-6), 1e-6),
        (1005.0, (1005.0, 10.0), 10.0),
        (3.0, (3.0, 0.0), 3.0),
        (0.0, (0.0, 0.0), 1.0),
        (7.0, (0.0, float("inf")), 7.0),
    ],
)
def test_a_size_is_what_something_varies_by_and_never_more_than_usual(value, spread, expected):
    assert tolerances.size(value, *spread) == expected


def tracking(unit, rows=(), upper_rows=()):
    """y = x + .2 below where rows allow it, F = (x - .3)^2 + (y - .9)^2, both in [0, 1] times a unit."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, unit))
    m.low = LowerLevel()
    m.low.y = pyo.Var(bounds=(0, unit))
    x, y = m.x / unit, m.low.y / unit
    m.low.rows = pyo.ConstraintList()
    m.rows = pyo.ConstraintList()
    for row in rows:
        m.low.rows.add(row(m.x, m.low.y))
    for row in upper_rows:
        m.rows.add(row(m.x, m.low.y))
    m.low.obj = pyo.Objective(expr=(y - x - 0.2) ** 2)
    m.obj = pyo.Objective(expr=(x - 0.3) ** 2 + (y - 0.9) ** 2)
    return m


def violations(model, x, y):
    """What the verifier measures of a point, above and below."""
    problem = Problem.read(model)
    compilation = Compilation.of(problem)
    check = Verifier(compilation, Response(problem, compilation=compilation))._measure({"x": x}, {"low.y": y}, True)
    return check.upper_violation, check.lower_violation


ROWS = {
    "bound": lambda u: {},
    "row": lambda u: {"rows": [lambda x, y: y <= x + 0.1 * u]},
    "constant": lambda u: {"rows": [lambda x, y: y - x + 1000 * u <= 1000.1 * u]},
    "faint": lambda u: {"rows": [lambda x, y: 1e-5 * y <= 1e-5 * x + 1e-6 * u]},
    "equality": lambda u: {"rows": [lambda x, y: y - x == 0.1 * u]},
    "range": lambda u: {"rows": [lambda x, y: pyo.inequality(-u, y - x, 0.1 * u)]},
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ROWS)
def test_what_is_a_thousandth_of_a_variable_is_no_rounding(unit, kind):
    model = tracking(unit, **ROWS[kind](unit))
    x, y = (1.001, 0.5) if kind == "bound" else (0.3, 0.401)
    assert max(violations(model, x * unit, y * unit)) > tolerances.FEASIBILITY
    x, y = (1.0, 0.5) if kind == "bound" else (0.3, 0.4)
    assert max(violations(model, x * unit, y * unit)) <= tolerances.FEASIBILITY


@pytest.mark.parametrize("unit", UNITS)
def test_the_leaders_rows_as_well_over_x_alone_or_coupling(unit):
    for row, point in (
        (lambda x, y: x <= 0.3 * unit, (0.301, 0.5)),
        (lambda x, y: x + y <= 0.8 * unit, (0.3, 0.501)),
        (lambda x, y: y >= 0.5 * unit, (0.3, 0.499)),
    ):
        model = tracking(unit, upper_rows=[row])
        assert violations(model, point[0] * unit, point[1] * unit)[0] > tolerances.FEASIBILITY


@pytest.mark.parametrize("unit", [1e-6, 1e8])
@pytest.mark.parametrize(
    "method",
    [
        "kkt",
        "value_function",
        "gradient",
        *(pytest.param(m, marks=pytest.mark.slow) for m in ("upper_boxes", "random")),
    ],
)
def test_no_method_oversteps_a_coupling_row_by_what_matters(method, unit):
    """y = x + .2 and y <= .5: x = .3, F = .16; the leader's best without the row is x = .5."""
    model = tracking(unit, upper_rows=[lambda x, y: y <= 0.5 * unit])
    result = bilevel.solve(model, method, seed=1, time_limit=4, **({"budget": 30} if method == "random" else {}))
    assert result.verdict in ("certified_global", "verified_local", "best_found"), result.notes
    assert result.lower["low.y"] <= 0.5 * unit * (1 + 1e-5)
    assert abs(result.lower["low.y"] / unit - result.upper["x"] / unit - 0.2) <= 1e-5
    assert result.upper_objective >= 0.16 - 1e-5
    assert method == "random" or result.upper_objective <= 0.161


def test_rows_of_magnitude_one_are_compiled_as_they_were_written():
    model = tracking(1.0, upper_rows=[lambda x, y: x + y <= 0.8, lambda x, y: 50 * x - 3 * y >= 2])
    compilation = Compilation.of(Problem.read(model))
    own, low, high = compilation.rows(compilation.problem.constraints)
    written, their_low, their_high = compilation.written_rows(compilation.problem.constraints)
    assert str(own) == str(written)
    assert (low == their_low).all()
    assert (high == their_high).all()
