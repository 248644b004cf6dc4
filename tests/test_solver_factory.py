"""``pyo.SolverFactory("bilevel")``."""

import pyomo.environ as pyo
import pytest

from bilevel import BilevelError, LowerLevel


def create():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, None))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x) ** 2)
    model.obj = pyo.Objective(expr=(model.x - 3) ** 2 + model.lower.y)
    return model


def test_solves_and_leaves_the_values_on_the_model():
    model = create()
    found = pyo.SolverFactory("bilevel").solve(model, method="kkt", tee=False)
    assert found.solver.termination_condition == pyo.TerminationCondition.globallyOptimal
    assert found.bilevel.verdict == "certified_global"
    assert model.x.value == pytest.approx(2.5, abs=1e-3)
    assert model.lower.y.value == pytest.approx(2.5, abs=1e-3)


def test_options_given_to_the_factory_are_defaults():
    found = pyo.SolverFactory("bilevel", method="random", budget=7).solve(create(), seed=2)
    assert found.bilevel.method == "random"
    assert found.bilevel.evaluations == 7
    assert found.solver.termination_condition == pyo.TerminationCondition.feasible


def test_is_available_without_a_licence():
    solver = pyo.SolverFactory("bilevel")
    assert solver.available()
    assert solver.license_is_valid()
    assert len(solver.version()) == 3


def test_options_may_be_set_later_and_pyomos_idle_ones_are_taken():
    solver = pyo.SolverFactory("bilevel")
    solver.options.budget = 7
    solver.options["seed"] = 2
    idle = {"keepfiles": False, "logfile": None, "report_timing": False, "symbolic_solver_labels": True}
    assert solver.solve(create(), method="random", **idle).bilevel.evaluations == 7
    with pytest.raises(BilevelError, match="'keepfiles'"):
        solver.solve(create(), method="random", keepfiles=True)
