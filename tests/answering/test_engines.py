"""The contract of an engine, run for every one in the registry against solutions found by listing."""

from __future__ import annotations

import itertools
import math
import os
import signal
from dataclasses import replace

import commands
import numpy as np
import pyomo.environ as pyo
import pytest
from by_hand import Quadratic, compiled, follower, solve
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import bilevel
from bilevel import LowerLevel, deadline, registry, tolerances
from bilevel.contracts.engine import Engine
from bilevel.errors import RefusedError
from bilevel.programs.answer import Answer, Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.answering import Answering, ranked_engines
from bilevel.response.response import Response

ENGINES = [*(name for name in registry.catalogue(Engine) if name != "pyomo"), "pyomo:highs", "pyomo:scip_direct"]
SPARSE = ("sparse_system", "piqp")  # of programs that are large and sparse
XS = [np.array([0.0, 0.0]), np.array([1.0, -1.0]), np.array([-2.0, 1.0]), np.array([0.0, 0.0])]


def as_sparse(program):
    """The same taken for a large program with few nonzeros, whose engines no small one would meet."""
    twin = program.but()
    twin.__dict__["sparse"] = True
    return twin


def takers(program):
    return [(name, score) for score, name in ranked_engines(program)]


def proves(score):
    return score > 0.5


def close(a, b):
    return abs(a - b) <= 2e-6 * max(1.0, abs(a), abs(b))


def judge(answer: Answer, hand: Quadratic, truth, *, must_solve: bool, name: str) -> None:
    """One answer against the truth; ``must_solve`` for all engines in turn: a single one may give up, never be wrong."""
    if answer.status in (Status.REFUSED, Status.FAILED):
        assert not must_solve, (name, answer, truth)
        assert not answer.proved
        return
    if truth.status != "optimal":
        assert answer.status == truth.status, (name, answer, truth)
        return
    assert answer.status is Status.OPTIMAL, (name, answer, truth)
    assert answer.y is not None
    assert answer.y.shape == (hand.n,)
    scaled = 1.0 + np.abs(np.concatenate([hand.low, hand.high, hand.lower, hand.upper]))
    assert hand.violation(answer.y) <= 1e-6 * scaled[np.isfinite(scaled)].max(initial=1.0), (name, answer)
    assert close(hand.value(answer.y), answer.objective), (name, answer, hand.value(answer.y))
    assert answer.objective >= truth.value - 1e-5 * max(1.0, abs(truth.value)), (
        name,
        "better than the optimum",
        answer,
    )
    if must_solve:
        assert close(answer.objective, truth.value), (name, answer, truth)
        assert answer.proved, (name, answer)
    if answer.proved:
        assert close(answer.objective, truth.value), (name, "proved what is not so", answer, truth)
    assert answer.bound <= truth.value + 1e-5 * max(1.0, abs(truth.value)), (
        name,
        "bound above the optimum",
        answer,
        truth,
    )
    if answer.unique:
        assert truth.unique, (name, "claims to be the only optimum", answer, truth.optima)
        assert np.abs(answer.y - truth.optima[0]).max() <= 1e-4, (name, answer, truth.optima)


def check(hand: Quadratic) -> None:
    """Every engine that takes the program, and all in turn, at several x on one prepared solver."""
    program = compiled(follower(hand))
    truths = [solve(hand.at(x)) for x in XS]
    some = takers(program)
    assert some, "no engine takes it"
    variants = [(program, some)]
    if all(hand.at(x).convex for x in XS):
        proved = replace(program, convex=True)
        variants.append((proved, [(n, s) for n, s in takers(proved) if n == "ipopt"]))
    sparse = as_sparse(program)
    variants.append((sparse, [(n, s) for n, s in takers(sparse) if n in SPARSE]))
    for variant, engines in variants:
        for name, score in engines:
            solver = registry.get(Engine, name)().prepare(variant)
            for x, truth in zip(XS, truths, strict=True):
                bounded = bool(np.isfinite([*hand.lower, *hand.upper]).all())
                # Without bounds SCIP branches on a box of 1e20 and may not come to an end, nor is it believed.
                answer = solver(x, time_limit=None if bounded else 0.5)
                if name == "scip" and not bounded and truth.status == "unbounded" and not answer.proved:
                    continue  # "optimal" without a bound, now and then, where it falls for ever: the chain knows better
                judge(answer, hand.at(x), truth, must_solve=False, name=name)
                if proves(score) and answer.status is Status.OPTIMAL and (bounded or name != "scip"):
                    assert answer.proved, (name, answer)
    for chain in (Answering(sparse), Answering(program)):
        for x, truth in zip(XS, truths, strict=True):
            judge(chain(x), hand.at(x), truth, must_solve=True, name=f"chain {chain.engines}")
    for k, (x, truth) in enumerate(zip(XS, truths, strict=True)):
        answer = chain(x)
        if answer.status is Status.OPTIMAL and k == 1:
            warm = chain(x, answer.y)
            judge(warm, hand.at(x), truth, must_solve=True, name=f"warm {chain.engines}")
            far = chain(x, np.full(hand.n, 7.7))
            judge(far, hand.at(x), truth, must_solve=True, name=f"badly started {chain.engines}")


def some(share):
    """A part of the examples, where each costs several global solves."""
    return settings(max_examples=max(5, int(share * settings.default.max_examples)))


small = st.integers(-2, 2)
styles = st.fixed_dictionaries({key: st.booleans() for key in ("maximise", "flip", "rows", "constant", "fixed")})


def matrix(draw, rows, columns):
    return np.array([[draw(small) for _ in range(columns)] for _ in range(rows)], dtype=float).reshape(rows, columns)


@st.composite
def programs(draw, kind):
    """Small ones with small whole coefficients: degenerate vertices, ties and redundant rows are common."""
    n, m = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    A, center = matrix(draw, m, n), np.array([draw(small) for _ in range(n)], dtype=float)
    low, high = np.full(m, -math.inf), np.full(m, math.inf)
    for i in range(m):
        middle = A[i] @ center
        side = "equal" if kind == "equalities" else draw(st.sampled_from(["<=", ">=", "<=>", "equal"]))
        high[i] = middle + (0 if side == "equal" else draw(st.integers(-1, 2)))
        if side == "equal":
            low[i] = high[i]
        elif side == ">=":
            low[i], high[i] = middle - draw(st.integers(-1, 2)), math.inf
        elif side == "<=>":
            low[i] = high[i] - draw(st.integers(1, 3))
    root = matrix(draw, draw(st.integers(0, n)), n)
    H = root.T @ root
    if kind in ("linear", "integer linear"):
        H = np.zeros((n, n))
    elif kind == "nonconvex":
        H = matrix(draw, n, n)
        H = H + H.T
    free = kind in ("linear", "convex") and draw(st.booleans())
    lower, upper = np.full(n, -3.0), np.full(n, 3.0)
    if kind == "equalities" or free:
        lower, upper = np.full(n, -math.inf), np.full(n, math.inf)
    if free:
        for k in range(n):
            lower[k] = draw(st.sampled_from([-math.inf, -3.0, 0.0]))
            upper[k] = draw(st.sampled_from([math.inf, 3.0, 1.0]))
    integer = np.zeros(n, dtype=bool)
    if kind.startswith("integer"):
        integer = np.array([draw(st.booleans()) for _ in range(n)])
        integer[0] = True
    return Quadratic.of(
        H=H, c=matrix(draw, 1, n)[0], A=A if m else None, low=low, high=high, lower=lower, upper=upper, integer=integer,
        C=matrix(draw, n, 2), B=matrix(draw, m, 2), **draw(styles),
    )  # fmt: skip


@some(0.5)
@given(programs("linear"))
def test_linear(hand):
    check(hand)


@some(0.5)
@given(programs("convex"))
def test_convex_quadratic(hand):
    check(hand)


@some(0.7)
@given(programs("equalities"))
def test_quadratic_with_equalities_only(hand):
    check(hand)


@some(0.2)
@given(programs("integer linear"))
def test_mixed_integer_linear(hand):
    check(hand)


@some(0.17)
@given(programs("integer quadratic"))
def test_mixed_integer_quadratic(hand):
    check(hand)


@some(0.4)
@given(programs("nonconvex"))
def test_nonconvex_quadratic(hand):
    check(hand)


@some(0.4)
@given(programs("convex"), st.integers(-1, 1))
def test_a_hessian_that_moves_with_x(hand, slope):
    """Definite at some x, singular or indefinite at others: an engine must refuse there and the next one answer."""
    box = replace(hand, lower=np.full(hand.n, -3.0), upper=np.full(hand.n, 3.0), H1=slope * np.eye(hand.n))
    check(box)


# --------------------------------------------------------------------------------- corners that chance may miss

CORNERS = {
    "a face of optima": Quadratic.of(c=[1, 1], A=[[1, 1]], low=[1], lower=[0, 0], upper=[3, 3]),
    "zero objective": Quadratic.of(c=[0, 0], lower=[0, 0], upper=[1, 1]),
    "degenerate vertex": Quadratic.of(c=[1, 1], A=[[1, 1], [1, 2], [2, 1]], low=[0, 0, 0], lower=[0, 0], upper=[9, 9]),
    "one point": Quadratic.of(c=[1, 0], A=[[1, 0], [0, 1]], low=[1, 2], high=[1, 2], lower=[0, 0], upper=[3, 3]),
    "fixed by bounds": Quadratic.of(H=np.eye(2), c=[1, 1], lower=[1, 0], upper=[1, 3]),
    "linear fixed by bounds": Quadratic.of(c=[1, 1], lower=[1, 0], upper=[1, 3]),
    "dependent equalities": Quadratic.of(H=np.eye(2), A=[[1, 1], [2, 2]], low=[1, 2], high=[1, 2]),
    "contradicting equalities": Quadratic.of(H=np.eye(2), A=[[1, 1], [1, 1]], low=[1, 2], high=[1, 2]),
    "equalities that leave nothing": Quadratic.of(H=np.eye(2), A=[[1, 1], [1, -1]], low=[1, 0], high=[1, 0]),
    "definite only on the rows": Quadratic.of(H=[[0, 1], [1, 0]], A=[[1, -1]], low=[0], high=[0], c=[-1, -1]),
    "indefinite on the rows": Quadratic.of(
        H=[[0, 1], [1, 0]], A=[[1, -1]], low=[0], high=[0], lower=[-2, -2], upper=[2, 2]
    ),
    "singular with a slope": Quadratic.of(H=[[1, 0], [0, 0]], c=[0, 1], lower=[-2, -2], upper=[2, 2]),
    "singular without": Quadratic.of(H=[[1, 0], [0, 0]], c=[-1, 0], lower=[-2, -2], upper=[2, 2]),
    "singular, no bounds": Quadratic.of(H=[[1, 1], [1, 1]], c=[1, 1]),
    "singular, falls forever": Quadratic.of(H=[[1, 1], [1, 1]], c=[1, -1]),
    "singular, falls forever, one bound": Quadratic.of(H=[[1, 1], [1, 1]], c=[1, -1], upper=[3, math.inf]),
    "linear, falls forever": Quadratic.of(c=[-1, 0], lower=[0, 0]),
    "linear, neither feasible nor bounded": Quadratic.of(
        c=[-1, 0], A=[[0, 1], [0, 1]], low=[1, -math.inf], high=[math.inf, 0]
    ),
    "infeasible box row": Quadratic.of(c=[1, 1], A=[[1, 1]], low=[9], lower=[0, 0], upper=[3, 3]),
    "infeasible quadratic": Quadratic.of(H=np.eye(2), A=[[1, 1]], low=[9], lower=[0, 0], upper=[3, 3]),
    "parallel rows": Quadratic.of(H=np.eye(2), c=[-9, -9], A=[[1, 1], [1, 1], [2, 2]], high=[2, 3, 3], lower=[0, 0]),
    "badly scaled": Quadratic.of(H=np.diag([1e4, 1e-4]), c=[-1e4, -1e-4], lower=[-3, -3], upper=[3, 3]),
    "two optima of a concave one": Quadratic.of(H=[[-2]], c=[0], lower=[-1], upper=[1]),
    "integers inside fractional bounds": Quadratic.of(c=[1, 1], lower=[0.5, -0.5], upper=[2.5, 1.5], integer=[1, 0]),
    "no integer between": Quadratic.of(
        c=[1, 1], A=[[1, 0]], low=[0.2], high=[0.8], lower=[-3, 0], upper=[3, 1], integer=[1, 0]
    ),
    "integer ties": Quadratic.of(c=[1, 1], A=[[1, 1]], low=[1], lower=[0, 0], upper=[1, 1], integer=[1, 1]),
}


@pytest.mark.parametrize("maximise", [False, True])
@pytest.mark.parametrize("corner", CORNERS)
def test_corners(corner, maximise):
    check(replace(CORNERS[corner], style={"maximise": maximise}))


@pytest.mark.parametrize("corner", CORNERS)
def test_corners_with_bounds_as_rows_and_rows_flipped(corner):
    check(replace(CORNERS[corner], style={"rows": True, "flip": True, "constant": True}))


def test_scip_does_not_take_its_infinity_for_an_optimum():
    program = compiled(follower(CORNERS["singular, falls forever"]))
    answer = registry.get(Engine, "scip")().prepare(program)(XS[0])
    assert answer.status is not Status.OPTIMAL


@pytest.mark.parametrize("hessian", [0.0, 1.0])
@pytest.mark.parametrize("integer", [False, True])
def test_a_row_over_x_alone_decides_whether_there_is_an_answer(hessian, integer):
    """In the lower level a constraint without y is a condition on x: the follower has no answer where it fails."""
    model = follower(Quadratic.of(H=[[hessian]], c=[1], lower=[0], upper=[1], integer=[integer]))
    model.lower.only = pyo.Constraint(expr=model.x[0] >= 0.5)
    program = compiled(model)
    for name, _ in takers(program):
        solver = registry.get(Engine, name)().prepare(program)
        for x0, feasible in ((1.0, True), (0.0, False), (0.6, True)):
            answer = solver(np.array([x0, 0.0]))
            if name == "ipopt" and not feasible:
                assert answer.status in (Status.FAILED, Status.INFEASIBLE), (name, answer)
                continue
            assert answer.status is (Status.OPTIMAL if feasible else Status.INFEASIBLE), (name, x0, answer)
    chain = Answering(program)
    assert chain(np.array([0.0, 0.0])).proved


@pytest.mark.parametrize("gap", [1e-3, 1e-5])
def test_a_barely_violated_row_is_a_violation(gap):
    """Ten times the tolerance is no rounding."""
    model = follower(Quadratic.of(H=[[1.0]], c=[0], A=[[1.0]], low=[1 + gap], lower=[0], upper=[1]))
    program = compiled(model)
    assert Answering(program)(np.zeros(2)).status is Status.INFEASIBLE


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_takes_something(name):
    everything = [
        compiled(follower(Quadratic.of(H=np.eye(2)))),
        compiled(follower(Quadratic.of(c=[1, 1], lower=[0, 0]))),
        replace(compiled(smooth(lambda y, x: pyo.exp(y[0]) + y[1] ** 4)), convex=True),
        compiled(follower(Quadratic.of(H=np.eye(50), lower=np.zeros(50)))),
        as_sparse(compiled(follower(Quadratic.of(H=np.eye(2))))),
        compiled(smooth(lambda y, x: pyo.sin(3 * y[0]) * y[1])),
        lasso(),
        machine(),
    ]
    assert any(registry.get(Engine, name)().suits(p) > 0 for p in everything)


def lasso():
    rng = np.random.default_rng(0)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0.1, 1))
    m.lower = LowerLevel()
    w = m.lower.w = pyo.Var(range(8))
    loss = bilevel.least_squares(rng.normal(size=(30, 8)), rng.normal(size=30), w) / 60
    m.lower.obj = pyo.Objective(expr=loss + m.x * sum(abs(w[k]) for k in w))
    m.obj = pyo.Objective(expr=m.x)
    return Compilation.of(Problem.read(m)).programs["lower"]


def machine():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0.1, 1))
    m.lower = bilevel.LowerLevel()
    m.lower.w = pyo.Var()
    m.lower.s = pyo.Var(range(30), bounds=(0, None))
    m.lower.rows = pyo.Constraint(range(30), rule=lambda b, i: b.s[i] >= 1.0 - 0.1 * i * b.w)
    m.lower.obj = pyo.Objective(expr=m.lower.w**2 + m.x * sum(m.lower.s[i] for i in range(30)))
    m.obj = pyo.Objective(expr=m.x)
    return compiled(m)


@pytest.mark.parametrize("name", ENGINES)
def test_scores_lie_between_nothing_and_one(name):
    for corner in CORNERS.values():
        assert 0.0 <= registry.get(Engine, name)().suits(compiled(follower(corner))) <= 1.0


def test_the_same_question_twice_has_the_same_answer():
    """No state of an earlier call, at another x, may leak into a later one; nor may arrays be shared between answers."""
    for corner in ("parallel rows", "singular without", "a face of optima", "badly scaled", "integer ties"):
        hand = replace(CORNERS[corner], C=np.ones((2, 2)))
        program = compiled(follower(hand))
        for name, _ in takers(program):
            solver = registry.get(Engine, name)().prepare(program)
            first = solver(XS[0])
            kept = first.y.copy()
            solver(XS[1])
            assert np.array_equal(first.y, kept), (name, corner, "a later call overwrote an answer")
            again = solver(XS[0])
            assert again.objective == pytest.approx(first.objective, abs=1e-8), (name, corner)
            if first.unique:
                assert again.y == pytest.approx(kept, abs=1e-7), (name, corner)


# ------------------------------------------------------------------------------------------- nonlinear programs


def smooth(f, *, rows=(), lower=(-2, -2), upper=(2, 2), integer=(), sense=pyo.minimize):
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1], bounds=(-10, 10))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([0, 1])
    for k in (0, 1):
        model.lower.y[k].setlb(lower[k])
        model.lower.y[k].setub(upper[k])
        if k in integer:
            model.lower.y[k].domain = pyo.Integers
    model.lower.rows = pyo.ConstraintList()
    for row in rows:
        model.lower.rows.add(row(model.lower.y, model.x))
    model.lower.obj = pyo.Objective(expr=f(model.lower.y, model.x), sense=sense)
    model.obj = pyo.Objective(expr=model.lower.y[0] + model.lower.y[1] + model.x[0] + model.x[1])
    return model


SMOOTH = {  # f in numbers, and as a follower; all convex
    "exponential": (
        lambda y, x: math.exp(y[0]) - x[0] * y[0] + (y[1] - x[1]) ** 2,
        lambda y, x: pyo.exp(y[0]) - x[0] * y[0] + (y[1] - x[1]) ** 2,
    ),
    "quartic": (lambda y, x: (y[0] - x[0]) ** 4 + y[0] * y[0] + y[1] ** 2 + y[1], None),
    "entropy": (
        lambda y, x: (y[0] + 3) * math.log(y[0] + 3) + math.exp(y[1] + x[0] * 0.1) - y[0],
        lambda y, x: (y[0] + 3) * pyo.log(y[0] + 3) + pyo.exp(y[1] + x[0] * 0.1) - y[0],
    ),
    "softplus": (
        lambda y, x: math.log(1 + math.exp(y[0] + y[1])) - 0.3 * y[0] + 0.1 * (y[0] ** 2 + y[1] ** 2) - x[1] * y[1],
        lambda y, x: pyo.log(1 + pyo.exp(y[0] + y[1])) - 0.3 * y[0] + 0.1 * (y[0] ** 2 + y[1] ** 2) - x[1] * y[1],
    ),
}


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("disc", [False, True])
@pytest.mark.parametrize("name", SMOOTH)
def test_convex_nonlinear(name, disc, sense):
    numbers, algebra = SMOOTH[name]
    algebra = algebra or numbers
    rows = [lambda y, x: y[0] ** 2 + y[1] ** 2 <= 1.5] if disc else []
    sign = -1 if sense == pyo.maximize else 1
    program = replace(compiled(smooth(lambda y, x: sign * algebra(y, x), rows=rows, sense=sense)), convex=True)
    engines = takers(program)
    assert {"ipopt", "scip"} <= {n for n, _ in engines}
    chain = Answering(program)
    for x in XS[:3]:
        cone = [{"type": "ineq", "fun": lambda y: 1.5 - y @ y}] if disc else []
        independent = minimize(
            numbers, [0.1, -0.1], args=(x,), bounds=[(-2, 2)] * 2, constraints=cone, method="SLSQP", tol=1e-12
        )
        for solver in [registry.get(Engine, n)().prepare(program) for n, _ in engines] + [chain]:
            answer = solver(x)
            assert answer.status is Status.OPTIMAL, (solver, answer)
            assert answer.proved, (solver, answer)
            assert answer.objective == pytest.approx(independent.fun, rel=1e-5, abs=1e-5), (solver, answer)
            assert numbers(answer.y, x) == pytest.approx(answer.objective, rel=1e-9, abs=1e-9)
        assert chain(x).y == pytest.approx(independent.x, abs=2e-3)


@pytest.mark.parametrize("integer", [(), (0,), (0, 1)])
@pytest.mark.parametrize(
    ("numbers", "algebra"),
    [
        (
            lambda y, x: math.sin(3 * y[0]) + math.cos(2 * y[1] + x[0]) + 0.1 * y[0],
            lambda y, x: pyo.sin(3 * y[0]) + pyo.cos(2 * y[1] + x[0]) + 0.1 * y[0],
        ),
        (lambda y, x: (y[0] ** 2 - 1) ** 2 + 0.2 * y[0] + y[0] * y[1] * x[1], None),
        (lambda y, x: abs(y[0] - 0.3) - 0.5 * abs(y[1] + x[0] / 5), None),
        (lambda y, x: math.tanh(y[0] * y[1]) + 0.05 * y[0], lambda y, x: pyo.tanh(y[0] * y[1]) + 0.05 * y[0]),
        (
            lambda y, x: max(y[0] - x[0], -y[0], y[1]) - 0.3 * y[1],
            lambda y, x: _maximum(y[0] - x[0], -y[0], y[1]) - 0.3 * y[1],
        ),
        (lambda y, x: (y[0] + 2.5) ** 1.5 / (y[1] + 3) - y[0], None),
        (
            lambda y, x: 1 / (1 + math.exp(-3 * y[0])) - (y[1] ** 2) ** 2 / 8 + 0.1 * y[1],
            lambda y, x: 1 / (1 + pyo.exp(-3 * y[0])) - (y[1] ** 2) ** 2 / 8 + 0.1 * y[1],
        ),
    ],
    ids=["waves", "double well", "absolute", "tanh", "maximum", "powers", "logistic"],
)
def test_nonconvex_against_a_fine_grid(numbers, algebra, integer):
    program = compiled(smooth(algebra or numbers, integer=integer))
    axes = [np.arange(-2, 3.0) if k in integer else np.linspace(-2, 2, 201) for k in (0, 1)]
    for x in XS[:2]:
        best = min(numbers((a, b), x) for a in axes[0] for b in axes[1])
        for name, score in takers(program):
            answer = registry.get(Engine, name)().prepare(program)(x)
            if not proves(score):
                assert not answer.proved, (name, answer)
                if answer.status is Status.OPTIMAL:
                    assert answer.objective >= best - 1e-2
                continue
            assert answer.status is Status.OPTIMAL, (name, answer)
            assert answer.proved, (name, answer)
            assert best - 1e-2 <= answer.objective <= best + 1e-5, (name, answer, best)
            if answer.unique and not program.tops:  # an epigraph makes a linear program of the maximum
                close = [p for p in itertools.product(*axes) if numbers(p, x) <= answer.objective + 1e-6]
                assert all(np.abs(np.array(p) - answer.y).max() <= 0.1 for p in close), (name, answer)
        chained = Answering(program)(x)
        assert chained.proved
        assert numbers(chained.y, x) == pytest.approx(chained.objective, abs=1e-7)
        assert chained.objective <= best + 1e-5


def _maximum(*items):
    from bilevel import maximum

    return maximum(items)


def test_a_local_answer_is_not_proved():
    """atan is outside SCIP's vocabulary, and cells need bounds: a local engine is left, which must not claim more."""
    f = lambda y, x: pyo.atan(5 * (y[0] - 1) ** 2 - x[0]) * pyo.cos(4 * y[1]) + y[0] ** 2 / 9  # noqa: E731
    program = compiled(smooth(f, lower=(None, -2)))
    assert [n for n, s in takers(program) if proves(s)] == []
    answer = Answering(program)(XS[0])
    assert answer.status is Status.OPTIMAL
    assert not answer.proved
    assert not answer.unique
    assert answer.bound == -math.inf


def test_a_program_that_no_engine_takes_is_refused():
    with pytest.raises(RefusedError, match=r"lower is a MINLP that no engine takes"):
        Answering(compiled(smooth(lambda y, x: pyo.atan(y[0]) * y[1], integer=(0,))))


def test_a_flat_nonlinear_program_is_not_unique():
    program = replace(compiled(smooth(lambda y, x: pyo.exp(y[0] + y[1]) + pyo.exp(-y[0] - y[1]))), convex=True)
    for name, _ in takers(program):
        assert not registry.get(Engine, name)().prepare(program)(XS[0]).unique, name


def test_infeasible_nonlinear_rows():
    rows = [lambda y, x: pyo.exp(y[0]) + y[1] ** 2 <= x[0]]
    program = replace(compiled(smooth(lambda y, x: y[0] ** 2 + y[1] ** 4, rows=rows)), convex=True)
    for name, _ in takers(program):
        solver = registry.get(Engine, name)().prepare(program)
        assert solver(np.array([-1.0, 0.0])).status in (Status.INFEASIBLE, Status.FAILED), name
        assert solver(np.array([5.0, 0.0])).status is Status.OPTIMAL, name
    assert Answering(program)(np.array([-1.0, 0.0])).status is Status.INFEASIBLE


def test_unbounded_nonlinear():
    program = replace(compiled(smooth(lambda y, x: pyo.exp(y[0]) + y[1], lower=(None, None))), convex=True)
    answer = Answering(program)(XS[0])
    assert answer.status in (Status.UNBOUNDED, Status.FAILED)
    assert answer.status is not Status.OPTIMAL


UNDEFINED = {  # x0 = 0 is a pole, -1 outside a domain, 800 an overflow
    "least squares": (lambda y, x: (y[0] - 1 / x[0]) ** 2 + y[1] ** 2, (None, None), (None, None), (), 0.0),
    "moving hessian": (lambda y, x: y[0] ** 2 / x[0] + y[1] ** 2 + y[0], (None, None), (None, None), (), 0.0),
    "bounded quadratic": (lambda y, x: (y[0] - 1 / x[0]) ** 2 + y[1] ** 2, (-1, -1), (1, 1), (), 0.0),
    "linear": (lambda y, x: y[0] / x[0] + y[1], (-1, -1), (1, 1), (), 0.0),
    "integer": (lambda y, x: y[0] / x[0] + y[1], (-1, -1), (1, 1), (0,), 0.0),
    "integer quadratic": (lambda y, x: y[0] ** 2 / x[0] + y[1], (-1, -1), (1, 1), (0,), 0.0),
    "nonconvex": (lambda y, x: y[0] ** 3 / x[0] + y[1], (-1, -1), (1, 1), (), 0.0),
    "logarithm": (lambda y, x: y[0] ** 3 * pyo.log(x[0]) + y[1], (-1, -1), (1, 1), (), -1.0),
    "power": (lambda y, x: y[0] ** 3 * x[0] ** 0.5 + y[1], (-1, -1), (1, 1), (), -1.0),
    "root": (lambda y, x: y[0] ** 2 * pyo.sqrt(x[0]) + y[1], (-1, -1), (1, 1), (), -1.0),
    "overflow": (lambda y, x: y[0] ** 3 * pyo.exp(x[0]) + y[1], (-1, -1), (1, 1), (), 800.0),
}


@pytest.mark.parametrize("case", UNDEFINED)
def test_where_the_data_is_no_number_there_is_no_answer(case):
    """Neither an exception, which would end the run, nor an optimum of nothing."""
    f, lower, upper, integer, bad = UNDEFINED[case]
    program = compiled(smooth(f, lower=lower, upper=upper, integer=integer))
    chain = Answering(program)
    assert chain(np.array([2.0, 0.0])).status in (Status.OPTIMAL, Status.UNBOUNDED)
    answer = chain(np.array([bad, 0.0]))
    assert answer.status in (Status.FAILED, Status.REFUSED), answer
    assert not answer.proved
    assert chain(np.array([2.0, 0.0])).status in (Status.OPTIMAL, Status.UNBOUNDED)


def knapsacks(n):
    rng = np.random.default_rng(0)
    return Quadratic.of(
        c=-rng.integers(10, 60, n), A=rng.integers(10, 60, (5, n)), high=np.full(5, 20.0 * n), lower=np.zeros(n), upper=np.ones(n),
        integer=np.ones(n),
    )  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_where_the_process_ignores_ctrl_c_scip_ignores_it_too():
    """A job in the background, and a worker of ours: SCIP would listen by itself, and stop."""
    solver, heard = registry.get(Engine, "scip")().prepare(compiled(follower(knapsacks(20)))), []

    def watch(incumbent, bound):
        heard.append(bound)
        if len(heard) <= 2:  # the fifth one would end the process
            os.kill(os.getpid(), signal.SIGINT)

    solver.watch = watch
    with commands.ctrl_c(signal.SIG_IGN):
        answer = solver(np.zeros(2))
    assert len(heard) > 3
    assert answer.status is Status.OPTIMAL, answer


def test_a_time_limit_is_no_proof():
    program = compiled(follower(knapsacks(30)))
    for name, _ in takers(program):
        answer = registry.get(Engine, name)().prepare(program)(np.zeros(2), time_limit=0.01)
        if answer.status is not Status.OPTIMAL:
            assert answer.status is Status.FAILED, (name, answer)
            assert not answer.proved
            assert answer.y is None or answer.objective >= answer.bound - tolerances.GLOBAL_GAP


@pytest.mark.parametrize("slope", [1.0, 0.035, 1e-3])
def test_an_optimum_that_stops_short_of_its_bound_is_attained(slope):
    """Interior points leave y a hair above 0, where f still falls: towards the bound, not for ever."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    y = model.lower.y = pyo.Var(range(2), bounds=(0, None))
    model.lower.obj = pyo.Objective(
        expr=sum(pyo.exp(y[k]) + y[k] ** 2 - (1 - slope * (1 + k)) * y[k] for k in range(2))
    )
    model.obj = pyo.Objective(expr=model.x + y[0] + y[1])
    reply = Response(model)(np.array([0.5]))
    assert reply.status is Status.OPTIMAL
    assert reply.y == pytest.approx(0.0, abs=1e-6)


def test_a_linear_program_is_answered_alike_whatever_was_solved_before():
    """To the last bit: a stored run that goes on in a new process has to repeat itself."""
    rng = np.random.default_rng(0)
    n, m = 20, 10
    rows, gains = rng.random((m, n)), 1.0 + rng.random(n)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(3), bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(range(n), bounds=(0, 1))
    y = model.lower.y
    model.lower.rows = pyo.Constraint(
        range(m), rule=lambda _, i: sum(rows[i, j] * y[j] for j in range(n)) <= n / 4 + model.x[i % 3]
    )
    model.lower.obj = pyo.Objective(expr=-sum((gains[j] + model.x[j % 3]) * y[j] for j in range(n)))
    model.obj = pyo.Objective(expr=sum(y[j] * model.x[j % 3] for j in range(n)))
    points = rng.random((40, 3))
    forth, back = Response(model, warm=False), Response(model, warm=False)
    first = [forth(x).y for x in points]
    second = [back(x).y for x in points[::-1]][::-1]
    assert forth.engines["lower"] == "highs"
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("place", ["objective", "row"])
def test_a_coefficient_beyond_scips_infinity_is_scaled_down_and_nothing_is_printed(place, capfd):
    model = pyo.ConcreteModel()
    model.x = pyo.Var()
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 1))
    model.lower.row = pyo.Constraint(expr=model.lower.y * (model.x if place == "row" else 1) >= -1)
    model.lower.obj = pyo.Objective(expr=(model.x if place == "objective" else 1) * model.lower.y)
    model.obj = pyo.Objective(expr=model.lower.y)
    program = Response(model).programs["lower"]
    answer = registry.get(Engine, "scip")().prepare(program)(np.array([1e30]))
    assert answer.status is Status.OPTIMAL
    assert answer.objective == pytest.approx(0.0, abs=1e-9)
    assert capfd.readouterr() == ("", "")


def test_products_of_a_binary_and_an_integer_below():
    """By enumeration: y = (2, 0, 0) with f = -4, the next best is worth -2. SCIP's presolving cuts it off."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(range(3), within=pyo.Integers, bounds=lambda _, k: (0, [2, 1, 3][k]))
    a, b, c = model.lower.y.values()
    model.lower.obj = pyo.Objective(expr=-2 * a - c + 7 * b**2 - 8 * b * c + 5 * c**2)
    model.obj = pyo.Objective(expr=b - 2 * c - model.x)
    reply = Response(model)([1.0])
    assert reply.y.tolist() == [2.0, 0.0, 0.0]
    assert reply.lower == (-4.0,)


def test_an_interrupt_within_ipopts_hessian_comes_through():
    """cyipopt would leave the Hessian unset, of which MUMPS dies, and Python with it."""
    pytest.importorskip("cyipopt")
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 3))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([1, 2], initialize=0.3)
    model.lower.obj = pyo.Objective(expr=pyo.exp(model.lower.y[1]) + (model.lower.y[1] - model.lower.y[2] ** 2) ** 2)
    model.obj = pyo.Objective(expr=model.x + model.lower.y[1])
    program = next(iter(Compilation.of(Problem.read(model)).programs.values()))
    solver = registry.get(Engine, "ipopt")().prepare(program)
    waits = []

    def interrupted(*_):
        waits.append(deadline._bell.waits)
        raise KeyboardInterrupt

    callbacks = program.kept("ipopt", lambda: None)
    whole, callbacks._hessian = callbacks._hessian, interrupted
    with pytest.raises(KeyboardInterrupt):
        solver(np.array([1.0]))
    assert waits == [1]  # nor is time called in there: Ipopt is told it
    callbacks._hessian = whole
    assert np.isfinite(solver(np.array([1.0])).objective)


@pytest.mark.parametrize("engine", ["highs", "daqp"])
@pytest.mark.parametrize("bounded", [True, False])
def test_a_free_variable_that_nothing_moves_is_no_ray(engine, bounded):
    """HiGHS calls the program unbounded; with a cost on it, it is."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 20))
    model.lower.z = pyo.Var()
    model.lower.row = pyo.Constraint(expr=model.lower.z >= model.lower.y - 7)
    cost = 0.0 if bounded else -1.0
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x) ** 2 + cost * model.lower.z)
    model.obj = pyo.Objective(expr=model.x + model.lower.z)
    program = next(iter(Compilation.of(Problem.read(model)).programs.values()))
    solver = registry.get(Engine, engine)().prepare(program.but(convex=True))
    for x in np.linspace(0.5, 9.5, 7):
        answer = solver(np.array([x]))
        if bounded:
            assert answer.status is not Status.UNBOUNDED
            assert answer.status is not Status.OPTIMAL or answer.objective == pytest.approx(0.0, abs=1e-8)
        else:
            assert answer.status is not Status.OPTIMAL
