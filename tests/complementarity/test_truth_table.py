"""What every treatment says about one pair: exactly ``s >= 0, mu >= 0, s mu = 0``, or that in the limit."""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel
from bilevel.contracts.engine import Engine
from bilevel.contracts.treatment import Treatment
from bilevel.programs.answer import Status
from bilevel.reading.problem import Problem
from bilevel.registry import catalogue, get
from bilevel.solvers.single_level.treated_model import TreatedModel

EXACT = [name for name in catalogue(Treatment) if get(Treatment, name).exact]
SEQUENCES = [name for name in catalogue(Treatment) if get(Treatment, name)().schedule()]
CUTS = [name for name in EXACT if name.endswith("_cut")]


def one_pair(weight: float = 1.0) -> pyo.ConcreteModel:
    """``max y, y <= x`` with a price t that the leader sets: slack ``x - y``, multiplier t where ``y >= -5`` is slack.

    Stationarity says ``-t + mu = 0``, so the leader moves mu itself.
    """
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 2))
    model.t = pyo.Var(bounds=(0, 3))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(-5, None))
    model.lower.cap = pyo.Constraint(expr=weight * model.lower.y <= weight * model.x)
    model.lower.obj = pyo.Objective(expr=-model.t * model.lower.y)
    model.obj = pyo.Objective(expr=model.x + model.t)
    return model


def best(treated: TreatedModel, slack: float, multiplier: float) -> float:
    """How near a point of the treated model comes to slack and multiplier of its first pair, in the 1-norm."""
    model = treated.model
    pair = next(p for p in treated.conditions.pairs if p.source == "lower.cap")
    floor = next(p for p in treated.conditions.pairs if p.source == "lower.y")
    model.obj.deactivate()
    model.off = pyo.Var(range(2), bounds=(0, None))
    model.near = pyo.ConstraintList()
    for k, (value, target) in enumerate([(pair.slack, slack), (pair.multiplier, multiplier)]):
        model.near.add(model.off[k] >= value - target)
        model.near.add(model.off[k] >= target - value)
    model.near.add(floor.multiplier == 0)
    model.distance = pyo.Objective(expr=model.off[0] + model.off[1])
    from bilevel.kkt.single_level import SingleLevel

    program = SingleLevel(model).program
    engine = max(catalogue(Engine), key=lambda name: get(Engine, name)().suits(program))
    answer = get(Engine, engine)().prepare(program)(np.zeros(0), None, 20.0)
    assert answer.status is Status.OPTIMAL, answer
    return answer.objective


# Its cut needs a linear f, whose multipliers nobody can move; otherwise it is big_m, and its cut is tested below.
@pytest.mark.parametrize("name", [name for name in EXACT if name != "big_m_cut"])
@pytest.mark.parametrize(("slack", "multiplier"), [(0, 0), (0, 1), (0, 3), (1, 0), (2, 0), (1, 1), (2, 3), (0.5, 2)])
def test_the_feasible_set_of_a_pair(name, slack, multiplier):
    treated = TreatedModel(Problem.read(one_pair()), name)
    assert best(treated, slack, multiplier) == pytest.approx(min(slack, multiplier), abs=2e-3)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_tends_to_the_pair(name):
    treated = TreatedModel(Problem.read(one_pair()), name)
    solver = get(Engine, "ipopt")().prepare(treated.program)
    point, products = np.full(treated.program.n, 0.5), []
    for epsilon in treated.schedule:
        answer = solver(np.array([epsilon]), point)
        assert answer.y is not None
        point = answer.y
        pairs = treated.pairs_at(treated.by_name(point))
        assert all(min(pair) > -1e-6 for pair in pairs)
        products.append(max(slack * multiplier for slack, multiplier in pairs))
    assert products[-1] <= 1e-7
    assert list(treated.schedule) == sorted(treated.schedule, reverse=True)


def test_every_treatment_is_exact_or_a_sequence_and_says_what_it_is():
    for name in catalogue(Treatment):
        treatment = get(Treatment, name)
        assert treatment.exact == (not treatment().schedule())
        for part in ("Source:", "Target:", "Exact when:", "Refuses:"):
            assert part in (treatment.__doc__ or ""), f"{name} does not say {part}"
    assert {"sos1", "big_m", "product", "strong_duality", "disjunction", "hull"} <= set(EXACT)


@pytest.mark.parametrize("name", [name for name in catalogue(Treatment) if name != "big_m_cut"])
def test_all_that_is_new_stands_on_one_block_and_every_pair_is_found_there(name):
    single = pyo.TransformationFactory("bilevel.kkt").create_using(one_pair(), complementarity=name)
    assert single.complementarity.ctype is pyo.Block
    assert [(p.source, p.side) for p in single.bilevel_kkt.pairs] == [("lower.cap", "upper"), ("lower.y", "lower")]
    for pair in single.bilevel_kkt.pairs:
        assert pair.multiplier is single.bilevel_kkt.multiplier[pair.source, pair.side]
        assert single.bilevel_kkt.get_source(pair.multiplier).name == pair.source
    single.clone()


@pytest.mark.parametrize("name", CUTS)
def test_a_cut_holds_at_every_bilevel_feasible_point(name):
    from bilevel.files.model_files import load_model

    single = pyo.TransformationFactory("bilevel.kkt").create_using(load_model("bard", {}), complementarity=name)
    rows = list(single.complementarity.cut.values())
    assert rows
    multiplier = single.bilevel_kkt.multiplier
    for x in np.linspace(1, 4, 31):
        y = max(3 - x, (3 * x - 4) / 2)
        single.x.value, single.lower.y.value = x, y
        for var in multiplier.values():
            var.value = 0.0
        multiplier[("lower.least", "lower") if 3 - x >= y - 1e-12 else ("lower.climb", "upper")].value = (
            1.0 if 3 - x >= y - 1e-12 else 0.5
        )
        assert abs(pyo.value(single.bilevel_kkt.stationarity["lower.y"].body)) < 1e-12
        assert all(pyo.value(row.body) <= 1e-9 for row in rows)
        assert math.isfinite(x)
