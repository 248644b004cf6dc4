"""The KKT path: known optima, answers that do not move when a problem is written otherwise, and honest verdicts."""

from __future__ import annotations

import math
import time

import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel, maximum, solve
from bilevel.contracts.observer import Observer
from bilevel.contracts.settings import Settings
from bilevel.errors import OptionError, RefusedError, UnknownNameError
from bilevel.reading.problem import Problem
from bilevel.solvers.paths.kkt import KKT
from bilevel.solvers.single_level.assessment import Assessed, Incumbent


def levels(upper=(0, None), lower=(0, None)):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=upper)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(bounds=lower)
    return m, m.x, m.lower.y


def bard():
    """Bard (1998), 5.1.1: F = -12 at (4, 4); a local optimum F = -7 at (1, 2)."""
    m, x, y = levels()
    m.lower.rows = pyo.ConstraintList()
    for row in (x + y >= 3, y <= 2 * x, 2 * x + y <= 12, 3 * x - 2 * y <= 4):
        m.lower.rows.add(row)
    m.lower.obj = pyo.Objective(expr=y)
    m.obj = pyo.Objective(expr=x - 4 * y)
    return m


def aiyoshi_shimizu():
    """Aiyoshi and Shimizu (1984), a quadratic follower in two variables: F = 0 at x = (0, 0), y = (-10, -10)."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2], bounds=(0, 50))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var([1, 2], bounds=(-10, 20))
    x, y = m.x, m.lower.y
    m.budget = pyo.Constraint(expr=x[1] + x[2] + y[1] - 2 * y[2] <= 40)
    m.lower.far = pyo.Constraint([1, 2], rule=lambda b, i: -x[i] + 2 * y[i] <= -10)
    m.lower.obj = pyo.Objective(expr=sum((y[i] - x[i] + 20) ** 2 for i in (1, 2)))
    m.obj = pyo.Objective(expr=2 * x[1] + 2 * x[2] - 3 * y[1] - 3 * y[2] - 60)
    return m


def mersha_dempe():
    """Mersha and Dempe (2006): coupling constraints; F = -20 at (8, 6)."""
    m, x, y = levels((0, 10))
    m.slope, m.total = pyo.Constraint(expr=2 * x - 3 * y >= -12), pyo.Constraint(expr=x + y <= 14)
    m.lower.rising, m.lower.falling = pyo.Constraint(expr=y <= 3 * x - 3), pyo.Constraint(expr=y <= 30 - 3 * x)
    m.lower.obj = pyo.Objective(expr=-y)
    m.obj = pyo.Objective(expr=-x - 2 * y)
    return m


def stackelberg():
    """(a - 2 c1 + c2)^2 / (8 b) = 1012.5; both maximise, no bound on either quantity."""
    m, x, y = levels((0, None), (0, None))
    price = 100 - x - y
    m.lower.obj = pyo.Objective(expr=(price - 10) * y, sense=pyo.maximize)
    m.obj = pyo.Objective(expr=(price - 10) * x, sense=pyo.maximize)
    return m


def free_everywhere():
    """No variable has a bound; y = x under the equality, z follows: F = (x - 3)^2 + x^2 at x = 3/2."""
    m, x, y = levels((None, None), (None, None))
    m.lower.z = pyo.Var()
    m.lower.tie = pyo.Constraint(expr=m.lower.z + y == 2 * x)
    m.lower.obj = pyo.Objective(expr=y**2 + m.lower.z**2)
    m.obj = pyo.Objective(expr=(x - 3) ** 2 + y * m.lower.z)
    return m


def ranged():
    """y = x within -1 <= y - x / 2 <= 1, that is min(x, x / 2 + 1): F = -3 at x = 4."""
    m, x, y = levels((0, 4), (None, None))
    m.lower.range = pyo.Constraint(expr=(-1, y - x / 2, 1))
    m.lower.obj = pyo.Objective(expr=(y - x) ** 2)
    m.obj = pyo.Objective(expr=-y)
    return m


def several_followers():
    """y_k = clip(k x, 0, 3): F = sum of (y_k - 2)^2."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 5))

    def build(b, k):
        b.y = pyo.Var(bounds=(0, 3))
        b.obj = pyo.Objective(expr=(b.y - k * m.x) ** 2, sense=pyo.minimize)

    m.part = LowerLevel([1, 2, 3], rule=build)
    m.obj = pyo.Objective(expr=sum((m.part[k].y - 2) ** 2 for k in (1, 2, 3)))
    return m


def maximum_above():
    """y = x / 2 and F = max(4 - x, y): least at x = 8/3."""
    m, x, y = levels((0, 10), (None, None))
    m.lower.obj = pyo.Objective(expr=(2 * y - x) ** 2)
    m.obj = pyo.Objective(expr=maximum([4 - x, y]))
    return m


KNOWN = {
    bard: -12.0,
    aiyoshi_shimizu: 0.0,
    mersha_dempe: -20.0,
    stackelberg: 1012.5,
    free_everywhere: 4.5,
    ranged: -3.0,
    several_followers: 12 / 7,
    maximum_above: 4 / 3,
}


@pytest.mark.parametrize("problem", KNOWN, ids=lambda p: p.__name__)
def test_known_optima_are_certified(problem):
    m = problem()
    result = solve(m, "kkt")
    assert result.upper_objective == pytest.approx(KNOWN[problem], abs=1e-5, rel=1e-5)
    assert result.verdict == "certified_global", result.notes
    assert result.bound == pytest.approx(KNOWN[problem], abs=2e-5, rel=1e-5)
    assert result.convexity == "proved"
    assert pyo.value(m.obj) == pytest.approx(result.upper_objective)


def _flip_leader(m):
    m.obj.set_value(-m.obj.expr)
    m.obj.sense = pyo.maximize


def _flip_follower(m):
    m.lower.obj.set_value(-m.lower.obj.expr)
    m.lower.obj.sense = pyo.maximize


def _rows_of(m):
    return list(m.component_data_objects(pyo.Constraint, active=True, descend_into=(pyo.Block, LowerLevel)))


def _negate_rows(m):
    for c in _rows_of(m):
        low, high = c.lb, c.ub
        c.set_value((None if high is None else -high, -c.body, None if low is None else -low))


def _scale_rows(m):
    for c in _rows_of(m):
        c.set_value((None if c.lb is None else 7 * c.lb, 7 * c.body, None if c.ub is None else 7 * c.ub))


def _bounds_to_rows(m):
    m.lower.extra = pyo.ConstraintList()
    for var in list(m.lower.component_data_objects(pyo.Var)):
        if var.lb is not None:
            m.lower.extra.add(var >= var.lb)
        if var.ub is not None:
            m.lower.extra.add(var <= var.ub)
        var.setlb(None)
        var.setub(None)


def _ranges(m):
    for c in _rows_of(m):
        if c.lb is None or c.ub is None:
            c.set_value((-1e3 if c.lb is None else c.lb, c.body, 1e3 if c.ub is None else c.ub))


@pytest.mark.parametrize(
    "rewrite",
    [_flip_leader, _flip_follower, _negate_rows, _scale_rows, _bounds_to_rows, _ranges],
    ids=lambda f: f.__name__[1:],
)
@pytest.mark.parametrize("problem", [bard, aiyoshi_shimizu, mersha_dempe, ranged], ids=lambda p: p.__name__)
def test_the_answer_does_not_move_when_the_problem_is_written_otherwise(problem, rewrite):
    m = problem()
    rewrite(m)
    result = solve(m, "kkt", starts=1)
    sign = -1 if rewrite is _flip_leader else 1
    assert result.verdict == "certified_global", result.notes
    assert result.upper_objective == pytest.approx(sign * KNOWN[problem], abs=1e-5)


def test_sos1_alone_and_scholtes_alone():
    exact = solve(bard(), "kkt", complementarity="sos1")
    assert (exact.verdict, exact.upper_objective) == ("certified_global", pytest.approx(-12.0))
    local = solve(bard(), "kkt", complementarity="scholtes")
    assert local.verdict == "verified_local"
    assert local.bound is None
    assert local.upper_objective == pytest.approx(-12.0) or local.upper_objective == pytest.approx(-7.0)


def test_the_same_seed_gives_the_same_local_answer():
    first, second = (solve(bard(), "kkt", complementarity="scholtes", seed=3, starts=2) for _ in range(2))
    assert first.upper == second.upper


def test_ipopt_alone_gives_no_bound():
    result = solve(bard(), "kkt", engine="ipopt")
    assert result.verdict == "verified_local"
    assert result.bound is None


def test_infeasible_is_proved():
    """y = min(x, 1) <= 1 and the leader wants y >= 2."""
    m, x, y = levels((0, 5), (0, 1))
    m.lower.obj = pyo.Objective(expr=(y - x) ** 2)
    m.wish = pyo.Constraint(expr=y >= 2)
    m.obj = pyo.Objective(expr=x)
    result = solve(m, "kkt")
    assert (result.verdict, result.termination) == ("infeasible", "optimality")


def test_a_follower_unbounded_at_every_x_leaves_nothing():
    m, x, y = levels((0, 5), (None, None))
    m.lower.obj = pyo.Objective(expr=y)
    m.obj = pyo.Objective(expr=x + y)
    assert solve(m, "kkt").verdict == "infeasible"


def test_unbounded_is_claimed_with_a_point_far_down():
    m, x, y = levels((0, None), (0, None))
    m.lower.obj = pyo.Objective(expr=(y - x) ** 2)
    m.obj = pyo.Objective(expr=-y)
    assert solve(m, "kkt").verdict == "unbounded"


def nonconvex():
    m, x, y = levels((-1, 1), (-1, 1))
    m.lower.obj = pyo.Objective(expr=x * y - y**2)
    m.obj = pyo.Objective(expr=(y - 1) ** 2 + x)
    return m


def test_a_nonconvex_follower_is_refused_with_the_reason_and_the_cure():
    with pytest.raises(RefusedError, match=r"lower is not proved convex: .*allow-nonconvex"):
        solve(nonconvex(), "kkt")


def test_or_solved_without_a_certificate():
    """The follower goes to 1 for x <= 0, else to -1: F = -1 at x = -1. KKT points in between are no answers."""
    result = solve(nonconvex(), "kkt", allow_nonconvex=True)
    assert result.verdict == "best_found"
    assert result.bound is None
    assert result.convexity.startswith("refuted")
    assert result.upper_objective == pytest.approx(-1.0, abs=1e-5)


def test_without_a_constraint_qualification_nothing_is_proved():
    """y^2 <= 0 forces y = 0 and has no multiplier there: stationarity -1 + 0 mu = 0 cannot hold, F = 0 exists."""
    m, x, y = levels((0, 1), (None, None))
    m.lower.flat = pyo.Constraint(expr=y**2 <= 0)
    m.lower.obj = pyo.Objective(expr=-y)
    m.obj = pyo.Objective(expr=x + y)
    result = solve(m, "kkt", time_limit=5)
    assert result.verdict not in ("infeasible", "certified_global", "verified_local")
    assert any("qualification" in note for note in result.notes)


def test_options_and_engines_that_do_not_fit_are_named():
    with pytest.raises(OptionError, match="kkt has no option 'step'; it takes starts"):
        solve(bard(), "kkt", step=3)
    with pytest.raises(OptionError, match="starts=0"):
        solve(bard(), "kkt", starts=0)
    with pytest.raises(RefusedError, match=r"engine='highs' does not take .* special ordered sets.*scip"):
        solve(bard(), "kkt", complementarity="sos1", engine="highs")


def test_the_observer_hears_of_bounds_in_the_users_sense():
    class Ears(Observer):
        bounds: list
        said_anything = False

        def bounded(self, incumbent, bound):
            self.bounds.append((incumbent, bound))

        def said(self, message):
            self.said_anything = True

    ears = Ears()
    ears.bounds = []
    solve(stackelberg(), "kkt", observer=ears)
    assert ears.said_anything
    bounds = [bound for _, bound in ears.bounds if bound is not None]
    assert all(bound >= 1012.5 - 1e-2 for bound in bounds)
    assert any(incumbent == pytest.approx(1012.5, rel=1e-5) for incumbent, _ in ears.bounds if incumbent is not None)


def test_an_interrupt_keeps_what_was_found():
    class Impatient(Observer):
        def said(self, message):
            if message.startswith("global half"):
                raise KeyboardInterrupt

    result = solve(bard(), "kkt", observer=Impatient())
    assert result.termination == "interrupted"
    assert result.verdict == "verified_local"


def test_the_time_limit_keeps_the_local_answer():
    """Bilinear and nonlinear enough that SCIP has no bound after a moment."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(6), bounds=(-3, 3), initialize=0.5)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(range(6))
    y, x = m.lower.y, m.x
    m.lower.obj = pyo.Objective(
        expr=sum((y[i] - pyo.sin(3 * x[i]) * x[(i + 1) % 6]) ** 2 for i in y) + sum(y[i] ** 4 for i in y)
    )
    m.obj = pyo.Objective(expr=sum(pyo.cos(2 * y[i] * x[i]) + 0.1 * x[i] ** 2 * y[(i + 2) % 6] for i in y))
    began = time.process_time()
    result = solve(m, "kkt", time_limit=4, starts=1)
    assert result.termination == "time_limit"
    assert result.verdict in ("verified_local", "best_found")
    assert time.process_time() - began < 10  # of the processor: what else the machine does is no matter


def test_a_model_too_large_for_a_proof_is_left_to_the_local_half(monkeypatch):
    monkeypatch.setattr("bilevel.solvers.paths.kkt.LARGEST_GRAPH", 5)
    result = solve(bard(), "kkt")
    assert result.verdict == "verified_local"
    assert any("left out" in note for note in result.notes)
    asked = solve(bard(), "kkt", engine="scip")
    assert asked.verdict == "certified_global"


def test_more_digits_beat_a_better_value_within_them():
    def incumbent(cost, *, stationary=False, exact=False):
        return Incumbent(Assessed({}, {}, cost), stationary, exact, {})

    rough = incumbent(-1.00001, stationary=True)
    sharp = incumbent(-1.0, exact=True)
    assert sharp.beats(rough)
    assert not rough.beats(sharp)
    assert sharp.inheriting(rough).stationary
    assert incumbent(-1.1).beats(sharp)
    assert not incumbent(-0.9, exact=True).beats(rough)


def test_a_finding_never_carries_a_bound_that_was_not_proved():
    finding = KKT().run(Problem.read(nonconvex()), Settings(allow_nonconvex=True), Observer())
    assert finding.bound is None
    assert math.isfinite(finding.upper["x"])


@pytest.mark.parametrize(("engine", "treatment"), [("pyomo:highs", "big_m"), ("pyomo:scip_direct", "sos1")])
def test_a_solver_of_pyomos_by_name(engine, treatment):
    result = solve(bard(), "kkt", engine=engine, complementarity=treatment)
    assert result.verdict == "certified_global", result.notes
    assert result.upper_objective == pytest.approx(-12)
    assert any(engine in note for note in result.notes)


def test_a_solver_that_is_not_there_is_refused_with_a_cure():
    with pytest.raises(RefusedError, match="no such solver"):
        solve(bard(), "kkt", engine="pyomo:no_such_solver", complementarity="sos1")
    with pytest.raises(UnknownNameError, match="pyomo:gurobi"):
        solve(bard(), "kkt", engine="gurobi", complementarity="sos1")
