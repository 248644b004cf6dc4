"""Small things a reader stumbles over: names of models, notes said five times, digits of a solver, tables cut off."""

from __future__ import annotations

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.contracts.finding import Termination, Verdict
from bilevel.errors import LoadingError
from bilevel.results.result import Result

SOURCE = """
import pyomo.environ as pyo
from bilevel import LowerLevel
{name} = pyo.ConcreteModel()
{name}.x = pyo.Var(bounds=(0, 1))
{name}.low = LowerLevel()
{name}.low.y = pyo.Var(bounds=(0, 1))
{name}.low.o = pyo.Objective(expr=({name}.low.y - {name}.x)**2)
{name}.o = pyo.Objective(expr={name}.x + {name}.low.y)
"""


def test_the_only_model_of_a_file_needs_no_name(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(SOURCE.format(name="m") + "alias = m\n")
    assert bilevel.load_model(file).x.ub == 1
    file.write_text(SOURCE.format(name="m") + SOURCE.format(name="n"))
    with pytest.raises(LoadingError, match=r"several models \(m, n\)"):
        bilevel.load_model(file)


def test_one_note_for_one_python_function():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.low = LowerLevel(response=lambda x: {"y": x["x"]})
    model.low.y = pyo.Var()
    model.obj = pyo.Objective(expr=(model.low.y - 0.3) ** 2)
    notes = bilevel.solve(model, budget=5).notes
    assert [note for note in notes if "no exact path" in note] == [
        "no exact path: low is answered by a Python function, of which they know nothing"
    ]


def test_a_solvers_digits_are_zero_beside_ones_and_a_cut_says_what_is_missing():
    lower = {f"low.z[{k}]": float(k % 2) for k in range(12)} | {"low.z[12]": 5e-09, "low.price[1]": 3.0}
    result = Result("kkt", Verdict.BEST_FOUND, Termination.BUDGET, 1.0, upper={"a": 5e-09, "b": 1.0}, lower=lower)
    text = str(result)
    assert "5e-09" not in text
    assert "the first 12 of 14 are shown, not low.z, low.price; --json" in text
    assert "5e-09" in str(Result("kkt", Verdict.BEST_FOUND, Termination.BUDGET, 1.0, upper={"a": 5e-09, "b": 1e-09}))


def smooth() -> pyo.ConcreteModel:
    """Convex below, by an exponential: no quadratic program."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0.5, 3))
    model.low = LowerLevel()
    model.low.y = pyo.Var(bounds=(0.1, 5))
    model.low.o = pyo.Objective(expr=pyo.exp(model.low.y) - 3 * model.x * model.low.y)
    model.obj = pyo.Objective(expr=(model.low.y - 1) ** 2 + (model.x - 1) ** 2)
    return model


def test_a_method_that_refuses_is_refused_and_what_is_convex_is_proved():
    table = bilevel.compare(smooth(), ["rational", "gradient"], budget=10)
    assert table.results[0].refused
    assert "refused" in str(table)
    assert not any("not proved" in note for note in table.results[1].notes)


@pytest.mark.parametrize("sense", [1, -1])
def test_no_bound_says_less_than_the_form_of_F(sense):
    model = smooth()
    model.obj.deactivate()
    squares = sum((model.low.y - k) ** 2 + pyo.exp(model.x - k) for k in range(3)) / 3
    model.loss = pyo.Objective(expr=sense * squares, sense=pyo.minimize if sense > 0 else pyo.maximize)
    floor = bilevel.programs.compilation.Compilation.of(bilevel.reading.problem.Problem.read(model)).floor
    assert 0 <= floor <= 3


def test_the_page_has_a_table_of_points_with_reasons(tmp_path):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.kind = pyo.Var(within=pyo.Set(initialize=["plain", "<odd>"]))
    model.low = LowerLevel(response=lambda x: {"y": 1 / (x["x"] > 0.2)})
    model.low.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.low.y + model.x)
    result = bilevel.solve(model, "random", budget=15, seed=1)
    result.report(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<tr><td") >= 15
    assert "function sortBy" in page
    assert "ZeroDivisionError" in page
    assert "&lt;odd&gt;" in page
    assert "<odd>" not in page
