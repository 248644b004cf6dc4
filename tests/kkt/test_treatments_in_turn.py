"""Which treatments the KKT path tries, and that a price in the leader's profit is no obstacle."""

from __future__ import annotations

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, dual_of
from bilevel.results.transcript import Transcript


def producer_in_a_market(angles: bool = True, quadratic: bool = False) -> tuple[pyo.ConcreteModel, float]:
    """One hour at three buses: the producer at bus 2 names price and quantity, and is paid the price there.

    Demand of 170, 60 of it at bus 2. The rivals at 15 (70 units), 30 (60) and 45 (80) have to run to the last without
    the producer's 80, so that a price of 30 holds at bus 2 whatever he offers: (30 - 12) 80 = 1440.
    """
    model = pyo.ConcreteModel()
    model.price, model.offer = pyo.Var(bounds=(0, 300)), pyo.Var(bounds=(0, 80))
    model.market = market = LowerLevel()
    buses, lines = [1, 2, 3], {(1, 2): (60, 10), (2, 3): (40, 12), (1, 3): (50, 8)}
    demand, capacity, cost = {1: 20, 2: 60, 3: 90}, {1: 70, 2: 60, 3: 80}, {1: 15, 2: 30, 3: 45}
    market.output, market.rival = pyo.Var(bounds=(0, None)), pyo.Var(buses, bounds=(0, None))
    market.offered = pyo.Constraint(expr=market.output <= model.offer)
    market.capacity = pyo.Constraint(buses, rule=lambda _, b: market.rival[b] <= capacity[b])
    if angles:
        market.angle = pyo.Var(buses)
        market.reference = pyo.Constraint(expr=market.angle[1] == 0)
        flow = {(i, j): lines[i, j][1] * (market.angle[i] - market.angle[j]) for i, j in lines}
    else:
        market.flow = pyo.Var(list(lines))
        flow = {line: market.flow[line] for line in lines}
    market.limit = pyo.Constraint(
        list(lines), rule=lambda _, i, j: pyo.inequality(-lines[i, j][0], flow[i, j], lines[i, j][0])
    )
    market.balance = pyo.Constraint(
        buses,
        rule=lambda _, b: (
            market.rival[b]
            + (market.output if b == 2 else 0)
            + sum(flow[line] for line in lines if line[1] == b)
            - sum(flow[line] for line in lines if line[0] == b)
            == demand[b]
        ),
    )
    steep = 0.01 if quadratic else 0.0
    market.cost = pyo.Objective(
        expr=model.price * market.output
        + sum(cost[b] * market.rival[b] + (steep * market.rival[b] ** 2 if steep else 0) for b in buses)
    )
    model.profit = pyo.Objective(expr=(dual_of(market.balance[2]) - 12) * market.output, sense=pyo.maximize)
    return model, 1440.0


def test_a_producers_bid_is_certified_in_seconds_and_the_transcript_says_how(capsys):
    model, known = producer_in_a_market()
    result = bilevel.solve(model, time_limit=20, observer=Transcript())
    assert result.verdict == "certified_global", result
    assert result.upper_objective == pytest.approx(known, abs=1e-3)
    assert "strong_duality, sos1_cut, sos1 are tried in turn" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("angles", "quadratic"), [(False, False), (False, True), (True, True)])
def test_so_are_others_of_the_kind(angles, quadratic):
    model, known = producer_in_a_market(angles, quadratic)
    result = bilevel.solve(model, time_limit=20)
    assert result.verdict == "certified_global", result
    if not quadratic and angles:
        assert result.upper_objective == pytest.approx(known, abs=1e-3)


def test_one_treatment_is_enough_where_nothing_is_unbounded():
    result = bilevel.solve(bilevel.load_model("bard"), "kkt")
    assert result.verdict == "certified_global"
    assert not any("in turn" in note for note in result.notes)


def test_a_power_of_nothing_is_not_complained_of(caplog):
    """A week without spend beside a root: Pyomo's walk over such a term writes errors that are none."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0.1, 2))
    model.low = LowerLevel()
    model.low.y = pyo.Var(bounds=(0, 20))
    parts = [(model.low.y * (spend * model.x) ** 0.5 - spend) ** 2 for spend in (0.0, 1.0)]
    model.low.obj = pyo.Objective(expr=sum(parts))
    model.obj = pyo.Objective(expr=sum(parts) + model.low.y)
    bilevel.solve(model, "kkt", time_limit=2)
    assert not caplog.records
