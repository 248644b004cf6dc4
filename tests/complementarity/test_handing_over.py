"""The exported model solved by Pyomo's own interfaces and from its files: always the known optimum, never another."""

from __future__ import annotations

import highspy
import pyomo.environ as pyo
import pyscipopt
import pytest

import bilevel
from bilevel import LowerLevel, load_model
from bilevel.contracts.treatment import Treatment
from bilevel.errors import OptionError, RefusedError
from bilevel.files.single_level_files import write
from bilevel.registry import catalogue, get

EXACT = [name for name in catalogue(Treatment) if get(Treatment, name).exact]
SETS = ("sos1", "sos1_cut")
BIG_M = ("big_m", "big_m_cut", "disjunction", "hull")


def bard() -> tuple[pyo.ConcreteModel, float]:
    return load_model("bard"), -12.0


def pricing() -> tuple[pyo.ConcreteModel, float]:
    """A toll on two roads, the follower's flow balanced by an equality with a constant and limited by a range.

    30 units go by a road of cost 2 + toll, by one of cost 4 + toll that carries 5 to 18, or for 9 without a toll. At
    tolls of 7 and 5 the roads are as good as the third: 7 * 12 + 5 * 18 with all 30 on the roads, the dearer toll on as
    much as its capacity of 20 allows: 7 * 20 + 5 * 10 = 190.
    """
    model = pyo.ConcreteModel()
    model.toll = pyo.Var([1, 2], bounds=(0, 10))
    model.low = LowerLevel()
    model.low.flow = pyo.Var([1, 2, 3], bounds=(0, 40))
    flow = model.low.flow
    model.low.balance = pyo.Constraint(expr=pyo.inequality(0, flow[1] + flow[2] + flow[3] - 30, 0))
    model.low.range = pyo.Constraint(expr=pyo.inequality(1, flow[2] - 4, 14))
    model.low.capacity = pyo.Constraint(expr=(-3, flow[1] - 3, 17))
    model.low.cost = pyo.Objective(expr=sum((k + model.toll[k // 2]) * flow[k // 2] for k in (2, 4)) + 9 * flow[3])
    model.income = pyo.Objective(expr=sum(model.toll[k] * flow[k] for k in (1, 2)), sense=pyo.maximize)
    return model, 190.0


CASES = [(bard, name) for name in EXACT] + [(pricing, name) for name in EXACT if name != "big_m_cut"]  # no such cut
LONGER = [pytest.param(*case, marks=[pytest.mark.slow] if case[0] is pricing else []) for case in CASES]


def exported(model: pyo.ConcreteModel, **options: object) -> pyo.ConcreteModel:
    return pyo.TransformationFactory("bilevel.kkt").create_using(model, **options)


def objective_of(model: pyo.ConcreteModel) -> float:
    (objective,) = model.component_data_objects(pyo.Objective, active=True)
    return pyo.value(objective)


@pytest.mark.parametrize(("make", "name"), CASES)
def test_scip_direct_finds_the_optimum_of_every_treatment(make, name):
    model, known = make()
    single = exported(model, complementarity=name)
    pyo.SolverFactory("scip_direct").solve(single)
    assert objective_of(single) == pytest.approx(known, abs=2e-3)


@pytest.mark.parametrize("name", BIG_M)
@pytest.mark.parametrize("solver", ["highs", "appsi_highs"])
def test_highs_finds_it_where_all_is_linear(solver, name):
    model, known = bard()
    single = exported(model, complementarity=name)
    pyo.SolverFactory(solver).solve(single)
    assert objective_of(single) == pytest.approx(known, abs=1e-5)


@pytest.mark.parametrize("ending", [".lp", ".nl", ".mps"])
@pytest.mark.parametrize(("make", "name"), LONGER)
def test_every_file_holds_the_same_model(make, name, ending, tmp_path):
    if ending == ".mps" and name in SETS:
        pytest.skip("refused: see test_writing")
    model, known = make()
    path = tmp_path / f"single{ending}"
    write(model, path, name)
    solver = pyscipopt.Model()
    solver.hideOutput()
    solver.readProblem(str(path))
    solver.optimize()
    assert solver.getObjVal() == pytest.approx(known, abs=2e-3)
    if ending != ".nl" and name in BIG_M and make is bard:
        assert by_highs(path) == pytest.approx(known, abs=1e-5)


def by_highs(path) -> float:
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    assert solver.readModel(str(path)) == highspy.HighsStatus.kOk
    solver.run()
    return solver.getInfo().objective_function_value


def test_squares_in_an_lp_file_are_read_by_both(tmp_path):
    path = tmp_path / "toy.lp"
    write(load_model("toy"), path, "big_m")
    solver = pyscipopt.Model()
    solver.hideOutput()
    solver.readProblem(str(path))
    solver.optimize()
    assert solver.getObjVal() == pytest.approx(0.0, abs=1e-4)


def test_the_default_for_highs_is_one_that_it_reads(tmp_path):
    model, known = bard()
    single = exported(model, solver="highs")
    pyo.SolverFactory("highs").solve(single)
    assert objective_of(single) == pytest.approx(known)
    assert "treated by big_m" in write(model, tmp_path / "single.mps")
    assert by_highs(tmp_path / "single.mps") == pytest.approx(known)
    assert bilevel.solve(model, "kkt", engine="highs").verdict == "certified_global"


@pytest.mark.parametrize("name", ["toy", "quadratic_pair"])
def test_what_highs_cannot_read_is_refused_at_once(name):
    """A quadratic F, or follower, beside the binaries of a treatment: HiGHS itself says ``unknown``."""
    with pytest.raises(RefusedError, match=r"solver='highs' takes no .* give the model to scip_direct"):
        exported(load_model(name), solver="highs")


def test_a_multiplier_that_is_nothing_is_not_bounded_by_an_engines_tolerance():
    """A bound of 1e-6 on a multiplier, and HiGHS 1.16 calls 12.5 the optimum of the hull; it is 0."""
    model = pyo.ConcreteModel()
    model.n, model.b = pyo.Var(domain=pyo.Integers, bounds=(0, 5)), pyo.Var(domain=pyo.Binary)
    model.low = LowerLevel()
    model.low.y = pyo.Var([1, 2], bounds=(0, 9))
    y = model.low.y
    model.low.room = pyo.Constraint(expr=y[1] + 2 * y[2] <= 4 + model.n)
    model.low.least = pyo.Constraint(expr=y[1] >= 1 + 2 * model.b)
    model.low.cost = pyo.Objective(expr=-2 * y[1] - 3 * y[2])
    model.obj = pyo.Objective(expr=1.5 * model.n - 2 * y[2] + y[1] - 4 * model.b)
    for name in ("big_m", "disjunction", "hull"):
        single = exported(model, complementarity=name)
        bounds = [bound for both in single.complementarity.bounds.values() for bound in (both.slack, both.multiplier)]
        assert all(bound.value == 0.0 or bound.value >= 1e-3 for bound in bounds)
        pyo.SolverFactory("highs").solve(single)
        assert objective_of(single) == pytest.approx(0.0, abs=1e-5)


def rows_of_every_form() -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    model.x, model.fixed = pyo.Var(bounds=(-10, 10)), pyo.Var(initialize=2.0)
    model.fixed.fix()
    model.p = pyo.Param(initialize=4.0, mutable=True)
    model.named = pyo.Expression(expr=model.x + model.p)
    model.equal = pyo.Constraint(expr=(0, model.named + model.fixed + 1, 0))
    model.ranged = pyo.Constraint([1], rule=lambda m, k: pyo.inequality(-m.p / 4 - 3, m.x + 4, m.p + 1))
    model.low = LowerLevel()
    model.low.y, model.low.idle = pyo.Var(bounds=(0, 9)), pyo.Var(bounds=(0, 1))
    model.low.cost = pyo.Objective(expr=(model.low.y + model.x) ** 2)
    model.obj = pyo.Objective(expr=model.x + model.low.y)
    return model


def test_rows_keep_their_meaning_and_lose_their_pitfalls():
    single = exported(rows_of_every_form())
    assert single.equal.equality
    assert (single.ranged[1].lower, pyo.value(single.ranged[1].upper)) == (None, 5)
    assert pyo.value(single.bilevel_kkt.at_least["ranged[1]"].lower) == pytest.approx(-4)
    pyo.SolverFactory("scip_direct").solve(single)
    assert (single.x.value, single.low.y.value) == pytest.approx((-7, 7), abs=1e-5)


def test_a_row_that_is_a_number_is_left_out_or_cannot_hold():
    """Nothing but the objective moves z: stationarity of z is 0 == 0, and 1 == 0 where f is linear without an end."""
    for slope, feasible in ((0.0, True), (1.0, False)):
        model = pyo.ConcreteModel()
        model.x = pyo.Var(bounds=(0, 1))
        model.low = LowerLevel()
        model.low.y, model.low.z = pyo.Var(bounds=(0, 1)), pyo.Var()
        model.low.cost = pyo.Objective(expr=(model.low.y - model.x) ** 2 + slope * model.low.z)
        model.obj = pyo.Objective(expr=model.x + model.low.y)
        found = pyo.SolverFactory("scip_direct").solve(exported(model), load_solutions=False)
        assert (found.solver.termination_condition == pyo.TerminationCondition.infeasible) is not feasible


def test_bounds_that_the_user_knows_are_used_and_called_given():
    model, known = unbounded_below()
    with pytest.raises(RefusedError, match=r"dual_bounds"):
        exported(model, solver="highs")
    single = exported(model, solver="highs", dual_bounds={("low.y", "upper"): 50, "low.y": 60})
    assert single.complementarity.bounds["low.y", "upper"].multiplier.provenance == "given"
    assert single.complementarity.bounds["low.y", "upper"].multiplier.value == 50
    pyo.SolverFactory("highs").solve(single)
    assert objective_of(single) == pytest.approx(known)


def unbounded_below() -> tuple[pyo.ConcreteModel, float]:
    """The follower's slope is a price without an upper bound, and so is its multiplier: y = 1 from a price of 1 on."""
    model = pyo.ConcreteModel()
    model.p = pyo.Var(bounds=(0, None))
    model.low = LowerLevel()
    model.low.y = pyo.Var(bounds=(0, 0.9))
    model.low.obj = pyo.Objective(expr=(1 - model.p) * model.low.y)
    model.obj = pyo.Objective(expr=-model.low.y + model.p / 10)
    return model, -0.8


def test_no_certificate_rests_on_a_bound_that_was_given():
    model, _ = bard()
    proved = bilevel.solve(model, "kkt", complementarity="big_m", dual_bounds={"lower.y": 1e6})
    assert proved.verdict == "certified_global", proved
    given = bilevel.solve(
        model, "kkt", complementarity="big_m", dual_bounds={"lower.y": 1e-3, "lower.most": 1e-3, "lower.climb": 1e-3}
    )
    assert given.verdict in ("best_found", "failed", "verified_local")
    assert given.bound is None
    assert any("given" in note for note in given.notes), given.notes


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"nothing": 1.0}, r"nothing has no multiplier; those with one are low\.y"),
        ({"low.y": -1.0}, "low.y has -1.0"),
        ({("low.y", "upper"): "big"}, "low.y.* has 'big'"),
        (7, "is a dict"),
    ],
)
def test_dual_bounds_that_mean_nothing_are_named(bounds, said):
    model, _ = unbounded_below()
    with pytest.raises(OptionError, match=said):
        exported(model, dual_bounds=bounds)
    with pytest.raises(OptionError, match=said):
        bilevel.solve(model, "kkt", dual_bounds=bounds, starts=1)
