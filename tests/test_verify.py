"""Claims that are too good must be lowered: the verdict is never better than what a second, independent look bears out."""

from __future__ import annotations

import itertools
import math

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.deadline import Deadline, within
from bilevel.programs.answer import Answer, Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.upper.archive import Archive, Evaluation
from bilevel.verify.check import Check
from bilevel.verify.judging import judged as judged_as
from bilevel.verify.verdict import verdict_of
from bilevel.verify.verifier import Verifier


def toy(sense=pyo.minimize):
    """y = min(x, 5); F = (x - 2)^2 + y is 1.75 at x = 1.5, or its negative to be maximised."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, None))
    model.lower.cap = pyo.Constraint(expr=model.lower.y <= model.x)
    model.lower.obj = pyo.Objective(expr=(model.lower.y - 5) ** 2)
    sign = -1 if sense == pyo.maximize else 1
    model.obj = pyo.Objective(expr=sign * ((model.x - 2) ** 2 + model.lower.y), sense=sense)
    return model


def judged(model, *, upper, lower=None, claim=Verdict.CERTIFIED_GLOBAL, bound=None):
    finding = Finding(Termination.OPTIMALITY, claim, upper=upper, lower=lower, bound=bound)
    return judged_as(Problem.read(model), finding, "test")


def checked(model, upper, lower=None):
    problem = Problem.read(model)
    compilation = Compilation(problem)
    return Verifier(compilation, Response(problem, compilation=compilation)).check(upper, lower)


BOTH = pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])


@BOTH
@pytest.mark.parametrize("off", [0.0, 1e-7, 5e-6])
def test_a_bound_that_closes_is_a_certificate(sense, off):
    sign = -1 if sense == pyo.maximize else 1
    result = judged(toy(sense), upper={"x": 1.5}, bound=sign * (1.75 - off))
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(sign * 1.75)
    assert result.bound == pytest.approx(sign * 1.75, abs=1e-5)
    assert result.gap <= 1e-5
    assert result.bilevel_gap <= 1e-7
    assert result.termination == "optimality"


@BOTH
@pytest.mark.parametrize("off", [1e-3, 1.0, math.inf])
def test_a_bound_that_does_not_close_is_none(sense, off):
    sign = -1 if sense == pyo.maximize else 1
    result = judged(toy(sense), upper={"x": 1.5}, bound=sign * (1.75 - off))
    assert result.verdict == "best_found"
    assert any("does not close" in note for note in result.notes)
    if math.isfinite(off):
        assert result.bound == pytest.approx(sign * (1.75 - off))
        assert result.gap == pytest.approx(off / 1.75, rel=1e-4)


@BOTH
@pytest.mark.parametrize("beyond", [1e-3, 1.0])
@pytest.mark.parametrize("claim", [Verdict.CERTIFIED_GLOBAL, Verdict.VERIFIED_LOCAL, Verdict.BEST_FOUND])
def test_a_bound_that_a_verified_point_beats_is_withdrawn(sense, beyond, claim):
    sign = -1 if sense == pyo.maximize else 1
    result = judged(toy(sense), upper={"x": 1.5}, bound=sign * (1.75 + beyond), claim=claim)
    assert result.verdict == (claim if claim is Verdict.VERIFIED_LOCAL else "best_found")
    assert result.bound is None
    assert result.gap is None
    assert any("withdrawn" in note for note in result.notes)


@BOTH
def test_a_certificate_needs_a_bound(sense):
    assert judged(toy(sense), upper={"x": 1.5}).verdict == "best_found"


@pytest.mark.parametrize("claim", [Verdict.VERIFIED_LOCAL, Verdict.BEST_FOUND])
def test_a_closed_gap_does_not_raise_a_claim(claim):
    """Only the path knows that its bound is over all x; the verification lowers claims and never lifts them."""
    assert judged(toy(), upper={"x": 1.5}, bound=1.75, claim=claim).verdict == claim


def test_a_point_that_is_missing_is_no_certificate():
    for claim in (Verdict.CERTIFIED_GLOBAL, Verdict.VERIFIED_LOCAL, Verdict.BEST_FOUND):
        result = judged(toy(), upper=None, claim=claim, bound=1.0)
        assert result.verdict == "failed"
        assert result.upper_objective is None
    assert judged(toy(), upper=None, claim=Verdict.INFEASIBLE).verdict == "infeasible"


@pytest.mark.parametrize("y", [0.0, 1.0, 1.6, -1.0, 4.0])
def test_a_claimed_y_that_is_not_the_followers_is_replaced(y):
    """F would be 0.25 at y = 0: too good. The answer reported is the follower's own."""
    result = judged(toy(), upper={"x": 1.5}, lower={"lower.y": y}, bound=0.25 + y)
    assert result.lower["lower.y"] == pytest.approx(1.5, abs=1e-6)
    assert result.upper_objective == pytest.approx(1.75, abs=1e-6)
    assert result.verdict == "best_found"
    assert result.bound is None or result.bound <= 1.75 + 1e-5


@pytest.mark.parametrize(
    ("lower", "complaint"),
    [
        ({"lower.y": 1.0}, "misses the lower optimum"),
        ({"lower.y": 3.0}, "violates the lower constraints"),
        ({"lower.y": -1.0}, "violates the lower constraints"),
    ],
)
def test_what_is_wrong_with_a_y_is_said(lower, complaint):
    model = toy()
    problem = Problem.read(model)
    compilation = Compilation(problem)
    verifier = Verifier(compilation, Response(problem, compilation=compilation))
    check = verifier._measure({"x": 1.5}, lower, True)
    assert not check.stands
    assert any(complaint in c for c in check.complaints)
    verdict, _, notes = verdict_of(Finding(Termination.OPTIMALITY, Verdict.CERTIFIED_GLOBAL, bound=0.0), check, problem)
    assert verdict == "failed"
    assert any("not verified" in note for note in notes)


@pytest.mark.parametrize("x", [-1.0, 11.0])
def test_an_x_outside_its_bounds(x):
    result = judged(toy(), upper={"x": x}, bound=0.0)
    assert result.verdict == "failed"


def test_an_x_between_two_values_of_its_list():
    model = toy()
    model.x.domain = pyo.Set(initialize=[1.0, 2.0], ordered=True)
    model.x.domain.construct()
    model.x.setlb(0)
    assert judged(model, upper={"x": 1.5}, claim=Verdict.BEST_FOUND).verdict == "failed"
    assert judged(model, upper={"x": 2.0}, claim=Verdict.BEST_FOUND).verdict == "best_found"


def test_an_integer_that_is_none():
    model = toy()
    model.x.domain = pyo.Integers
    result = judged(model, upper={"x": 1.5}, claim=Verdict.BEST_FOUND)
    assert result.verdict == "failed"
    assert result.upper_violation > 1e-6


@pytest.mark.parametrize("x", [1.0, 3.0])
def test_constraints_over_x_and_coupling_ones(x):
    for name, row in (
        ("only", lambda m: m.x <= 2),
        ("coupling", lambda m: m.lower.y <= 2),
        ("flipped", lambda m: -m.lower.y >= -2),
    ):
        model = toy()
        model.add_component(name, pyo.Constraint(expr=row(model)))
        result = judged(model, upper={"x": x}, claim=Verdict.VERIFIED_LOCAL)
        assert result.verdict == ("verified_local" if x == 1.0 else "failed"), name
        assert result.upper_violation == pytest.approx(0.0 if x == 1.0 else 0.5, abs=1e-6)


def odd(x):
    return int(x) % 2 == 1


def test_a_predicate_that_is_false():
    from bilevel import Allowed

    model = toy()
    model.odd = Allowed([model.x], odd)
    assert judged(model, upper={"x": 2.0}, claim=Verdict.BEST_FOUND).verdict == "failed"
    assert judged(model, upper={"x": 3.0}, claim=Verdict.BEST_FOUND).verdict == "best_found"


def test_a_lower_level_without_an_answer():
    model = toy()
    model.lower.need = pyo.Constraint(expr=model.lower.y >= 3)
    result = judged(model, upper={"x": 1.0}, lower={"lower.y": 1.0}, bound=2.0)
    assert result.verdict == "failed"
    assert any("infeasible" in note for note in result.notes)


def test_a_point_that_stands_on_a_constant_row_is_refused_where_that_fails():
    model = toy()
    model.lower.only = pyo.Constraint(expr=model.x >= 2)
    assert judged(model, upper={"x": 1.5}, lower={"lower.y": 1.5}, bound=1.75).verdict == "failed"


# ------------------------------------------------------------------------------------- lower levels with several optima


def free(sense=pyo.minimize):
    """Every y in [0, 1] is optimal for the follower; F = (y - x)^2 + x."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 1))
    model.lower.z = pyo.Var(bounds=(0, 1))
    model.lower.obj = pyo.Objective(expr=(model.lower.z - 1) ** 2)
    sign = -1 if sense == pyo.maximize else 1
    model.obj = pyo.Objective(expr=sign * ((model.lower.y - model.x) ** 2 + model.x), sense=sense)
    return model


@BOTH
def test_the_optimistic_choice_is_made_afresh(sense):
    sign = -1 if sense == pyo.maximize else 1
    for candidate in ({"lower.y": 1.0, "lower.z": 1.0}, None):
        result = judged(free(sense), upper={"x": 0.25}, lower=candidate, claim=Verdict.BEST_FOUND)
        assert result.verdict == "best_found"
        assert result.upper_objective == pytest.approx(sign * 0.25, abs=1e-6)


def test_a_stationary_point_of_a_nonconvex_follower_is_not_its_answer():
    """y = 0 satisfies the KKT conditions of max y^2 on [-1, 2], and gives the leader F = 0; the follower answers 2."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(-1, 2))
    model.lower.obj = pyo.Objective(expr=model.lower.y**2 + 0 * model.x, sense=pyo.maximize)
    model.obj = pyo.Objective(expr=model.lower.y**2 + model.x)
    for y, claim in itertools.product((0.0, -1.0), (Verdict.CERTIFIED_GLOBAL, Verdict.VERIFIED_LOCAL)):
        result = judged(model, upper={"x": 0.0}, lower={"lower.y": y}, bound=y**2, claim=claim)
        assert result.upper_objective == pytest.approx(4.0, abs=1e-5)
        assert result.lower["lower.y"] == pytest.approx(2.0, abs=1e-5)
        assert result.verdict in ("best_found", "verified_local")
        assert result.verdict != "certified_global"


def test_no_certificate_where_the_lower_optimum_is_not_proved():
    """Outside the global engines' vocabulary the re-solved y is a local optimum: F there proves nothing."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(-3, None))
    y = model.lower.y
    model.lower.obj = pyo.Objective(expr=pyo.atan(y) * pyo.cos(3 * y) + 0.1 * model.x * y + y**2 / 9)
    model.obj = pyo.Objective(expr=model.x + model.lower.y)
    check = checked(model, {"x": 0.0})
    assert isinstance(check, Check)
    assert not check.proved
    result = judged(model, upper={"x": 0.0}, bound=check.upper_objective)
    assert result.verdict == "best_found", "certified on a local optimum of the lower level"
    assert any("not proved" in note for note in result.notes)


def test_a_proved_lower_optimum_certifies_whatever_the_choice_among_ties():
    """(x, y) with y proved optimal is feasible, so a bound that closes on F there is a certificate (nonlinear F over a tie)."""
    result = judged(free(), upper={"x": 0.0}, lower={"lower.y": 0.0, "lower.z": 1.0}, bound=0.0)
    assert result.verdict == "certified_global"


# ------------------------------------------------------------------------------------------------ response functions


def functional(function):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4))
    model.lower = LowerLevel(response=function)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return model


def test_a_function_that_repeats_itself():
    result = judged(functional(lambda x: {"y": x["x"] ** 2}), upper={"x": 2.0}, claim=Verdict.BEST_FOUND)
    assert result.verdict == "best_found"
    assert result.upper_objective == 4.0
    assert result.bilevel_gap is None
    assert result.to_dict()["lower_objective"] is None


@pytest.mark.parametrize("drift", [1e-3, 1.0])
@pytest.mark.parametrize("size", [1.0, 1e-2, 1e6])
def test_a_function_that_does_not(drift, size):
    count = itertools.count()
    model = functional(lambda x: {"y": size * (1.0 + drift * next(count))})
    result = judged(model, upper={"x": 2.0}, claim=Verdict.CERTIFIED_GLOBAL, bound=size)
    assert (result.verdict, result.bound) == ("best_found", None)
    assert result.noise == pytest.approx(size * drift / max(1.0, size * (1.0 + drift)))
    assert "noisy" in " ".join(result.notes)
    assert "fixed seed" in " ".join(result.notes)


def test_a_function_that_has_no_second_answer():
    count = itertools.count()
    model = functional(lambda x: {"y": 1.0 + math.nan * next(count)})
    assert judged(model, upper={"x": 2.0}, claim=Verdict.BEST_FOUND).verdict == "failed"


def test_what_f_does_not_see_is_no_noise():
    count = itertools.count()
    model = functional(lambda x: {"y": 1.0, "seconds": float(next(count))})
    model.lower.seconds = pyo.Var()
    result = judged(model, upper={"x": 2.0}, claim=Verdict.CERTIFIED_GLOBAL, bound=1.0)
    assert (result.verdict, result.noise) == ("certified_global", None)


def test_rounding_is_no_change():
    count = itertools.count()
    model = functional(lambda x: {"y": 1.0 + 1e-12 * next(count)})
    assert judged(model, upper={"x": 2.0}, claim=Verdict.BEST_FOUND).verdict == "best_found"


def test_a_function_that_fails_when_asked_again():
    calls = itertools.count()

    def function(x):
        if next(calls):
            raise OSError("the data are gone")
        return {"y": 1.0}

    result = judged(functional(function), upper={"x": 2.0}, claim=Verdict.BEST_FOUND)
    assert result.verdict == "failed"
    assert any("the data are gone" in note for note in result.notes)


# ------------------------------------------------------------------------------------------------------- the look itself


def test_what_a_check_measures():
    check = checked(toy(), {"x": 1.5})
    assert check.stands
    assert check.proved
    assert check.upper_objective == pytest.approx(1.75)
    assert check.lower_objectives == pytest.approx([12.25])
    assert check.bilevel_gap == pytest.approx(0, abs=1e-8)
    assert (check.upper_violation, check.lower_violation) == pytest.approx((0, 0), abs=1e-8)


def test_the_second_look_is_by_another_engine():
    problem = Problem.read(toy())
    compilation = Compilation(problem)
    response = Response(problem, compilation=compilation)
    verifier = Verifier(compilation, response)
    assert verifier._answering("lower").engines[0] != response.engines["lower"]


def test_objectives_in_the_users_sense():
    model = toy(pyo.maximize)
    model.lower.obj.set_value(-((model.lower.y - 5) ** 2))
    model.lower.obj.sense = pyo.maximize
    result = judged(model, upper={"x": 1.5}, bound=-1.75)
    assert result.upper_objective == pytest.approx(-1.75)
    assert result.lower_objective == pytest.approx(-12.25)
    assert result.verdict == "certified_global"
    assert -1e-9 <= result.bilevel_gap <= 1e-7


def test_the_answer_is_left_on_the_model():
    model = toy()
    judged(model, upper={"x": 1.5}, bound=1.75)
    assert (model.x.value, model.lower.y.value) == pytest.approx((1.5, 1.5))
    assert pyo.value(model.obj) == pytest.approx(1.75)


def test_where_f_is_no_number_nothing_stands():
    model = toy()
    model.obj.set_value(pyo.log(model.lower.y - 3))
    assert judged(model, upper={"x": 1.5}, claim=Verdict.BEST_FOUND).verdict == "failed"


def test_a_wrong_engine_is_found_out():
    """The path's y and the response agree on a wrong answer; the second engine does not."""
    problem = Problem.read(toy())
    compilation = Compilation(problem)
    response = Response(problem, compilation=compilation)
    verifier = Verifier(compilation, response)

    class Wrong:
        engines = ("wrong",)

        def __call__(self, x, start=None, time_limit=None):
            import numpy as np

            from bilevel.programs.answer import Answer, Status

            return Answer(Status.OPTIMAL, np.array([0.5]), 20.25, 20.25, True)

    from bilevel.response.answering import Answering

    response._parts = [
        (name, place, _like(part, Wrong()) if isinstance(part, Answering) else part)
        for name, place, part in response._parts
    ]
    check = verifier.check({"x": 1.5}, {"lower.y": 0.5})
    assert isinstance(check, Check)
    assert not check.stands
    assert check.bilevel_gap > 0.1


def _like(part, wrong):
    """An Answering whose only engine is wrong."""
    part._first = wrong
    return part


@BOTH
@pytest.mark.parametrize("x", [0.004, -0.004, 0.01])
def test_an_answer_that_is_nearly_optimal_is_no_ground_for_a_certificate(sense, x):
    """f = x y^2 / 2 - y x^3 is within 1e-6 of its optimum at y = 1 for small negative x, and at y = 0 for small x.

    Mitsos and Barton (2007), example 3.13: y = x^2 for x > 0, y = -1 for x < 0, so that F = x - y > -1.
    """
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-1, 1))
    model.lower = LowerLevel()
    model.lower.y = y = pyo.Var(bounds=(-1, 1))
    model.lower.obj = pyo.Objective(expr=0.5 * model.x * y**2 - y * model.x**3)
    sign = -1 if sense == pyo.maximize else 1
    model.obj = pyo.Objective(expr=sign * (model.x - y), sense=sense)
    for near in (1.0, 0.0):
        result = judged(model, upper={"x": x}, lower={"lower.y": near}, bound=sign * (x - near))
        assert result.verdict != "certified_global", (near, result.lower, result.notes)


@BOTH
def test_solve_proves_no_better_f_than_true_answers_have(sense):
    """The same, and a quartic one (example 3.12, F = 0): spending a tolerance in f on F gives -1.002 and -4e-4."""
    for lower, upper, best in (
        (lambda x, y: 0.5 * x * y**2 - y * x**3, lambda x, y: x - y, -1.0),
        (lambda x, y: -x * y**2 + 0.5 * y**4, lambda x, y: -x + x * y + 10 * y**2, 0.0),
    ):
        model = pyo.ConcreteModel()
        model.x = pyo.Var(bounds=(-1, 1))
        model.lower = LowerLevel()
        model.lower.y = pyo.Var(bounds=(-1, 1))
        model.lower.obj = pyo.Objective(expr=lower(model.x, model.lower.y))
        sign = -1 if sense == pyo.maximize else 1
        model.obj = pyo.Objective(expr=sign * upper(model.x, model.lower.y), sense=sense)
        result = bilevel.solve(model, "value_function", time_limit=20)
        assert sign * result.bound <= best + 1e-6
        if result.verdict == "certified_global":
            assert sign * result.upper_objective == pytest.approx(best, abs=1e-4)


def test_dividing_by_nothing_at_one_x_is_no_crash():
    """(y - 1)^2 / x <= 1 with x in [0, 2]: y >= 1 - sqrt x, and at x = 0 the row is no number."""
    for method in ("kkt", "grid"):
        model = pyo.ConcreteModel()
        model.x = pyo.Var(bounds=(0, 2))
        model.lower = LowerLevel()
        model.lower.y = pyo.Var(bounds=(-5, 5))
        model.lower.disc = pyo.Constraint(expr=(model.lower.y - 1) ** 2 / model.x <= 1)
        model.lower.obj = pyo.Objective(expr=model.lower.y)
        model.obj = pyo.Objective(expr=model.x)
        result = bilevel.solve(model, method, budget=5, time_limit=10)
        assert result.upper_objective is None or result.upper_objective > 0


def test_where_the_best_point_does_not_stand_the_next_best_one_that_does_is_reported():
    """The row x y <= 0 holds y at 0 unless x = 0: then y = 1 is better, and the leader does not allow it."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(bounds=(0, 1))
    m.lower.row = pyo.Constraint(expr=m.x * m.lower.y <= 0)
    m.lower.obj = pyo.Objective(expr=-m.lower.y)
    m.obj = pyo.Objective(expr=m.x + m.lower.y)
    m.cap = pyo.Constraint(expr=m.lower.y <= 0.5)
    problem = Problem.read(m)
    archive = Archive()
    for k, (x, y) in enumerate([(0.5, 0.0), (0.0, 0.0), (1e-3, 0.0)]):
        archive.add(Evaluation(k, (x,), {"x": x}, {"lower.y": y}, Status.OPTIMAL, x, (-y,), 0.0, x, True))
    best = archive.incumbent
    finding = Finding(Termination.BUDGET, Verdict.BEST_FOUND, upper=best.upper, lower=best.lower, archive=archive)
    result = judged_as(problem, finding, "search")
    assert result.verdict is Verdict.BEST_FOUND
    assert result.upper == {"x": 1e-3}
    assert any("may not be attained" in note for note in result.notes)
    assert m.x.value == 1e-3


def test_an_independent_solve_is_asked_for_once_at_each_x():
    problem = Problem.read(toy())
    compilation = Compilation(problem)
    response, limits = Response(problem, compilation=compilation), []
    verifier = Verifier(compilation, response)
    real = verifier._answering("lower")

    class Watched:
        program = real.program

        def __call__(self, x, start, time_limit):
            limits.append(time_limit)
            return real(x, start, time_limit)

    verifier._engines["lower"] = Watched()
    for x in (1.5, 2.5):
        check = verifier.check({"x": x}, {"lower.y": x - 1e-12})
        assert isinstance(check, Check)
        assert check.stands
    assert limits == [20.0, 20.0]


@pytest.mark.parametrize(("y", "stands"), [(1.5, True), (1.4, False)])
def test_without_time_for_a_second_opinion_the_first_one_counts_and_nothing_is_proved(y, stands):
    problem = Problem.read(toy())
    compilation = Compilation(problem)
    verifier = Verifier(compilation, Response(problem, compilation=compilation))

    class Late:
        program = verifier._answering("lower").program

        def __call__(self, x, start, time_limit):
            return Answer(Status.FAILED, message="the time is up")

    verifier._engines["lower"] = Late()
    with within(Deadline.after(-1.0)):
        fresh = verifier.check({"x": 1.5})
        measured = verifier._measure({"x": 1.5}, {"lower.y": y}, True)
    assert fresh.stands
    assert not fresh.proved
    assert not fresh.certain
    assert measured.stands is stands
