"""Budgets over channels: against enumeration, with every limit, in dollars as in millions; and the words for bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bilevel
from bilevel.blocks import ResponseCurve, allocation, allocation_table, budget_curve
from bilevel.errors import ModelError

WEEKS = 12


def history(unit=1.0):
    rng = np.random.default_rng(3)
    a = unit * rng.gamma(1.0, 1.0, WEEKS) * (rng.random(WEEKS) < 0.7)
    return {"a": a, "b": unit * rng.gamma(2.0, 0.5, WEEKS)}


def curves(unit=1.0, effect=1.0):
    return {
        "a": ResponseCurve(effect * 2.0 * unit, 1.0 * unit, 1.2, 0.4),
        "b": ResponseCurve(2.5 * unit, 1.2 * unit, 0.9, 0.2),
    }


def by_hand(fit, spent, plan, after=13):
    """Response of a plan, one period, week by week."""
    total = 0.0
    for channel, curve in fit.items():
        share = spent[channel] / spent[channel].sum()
        carried = 0.0
        for t in range(WEEKS + after):
            carried = curve.decay * carried + (plan[channel] * share[t] if t < WEEKS else 0.0)
            total += curve.effect * carried**curve.exponent / (carried**curve.exponent + curve.half**curve.exponent)
    return total


def enumerated(fits, spent, total, points=400):
    """The best of plans that spend a total, channel a between half and twice of what it spent."""
    now = {c: s.sum() for c, s in spent.items()}
    best = -np.inf
    for a in np.linspace(0.5 * now["a"], 2.0 * now["a"], points):
        b = min(total - a, 2.0 * now["b"])
        if b >= 0.5 * now["b"]:
            best = max(best, min(by_hand(fit, spent, {"a": a, "b": b}) for fit in fits))
    return best


@pytest.mark.parametrize("unit", [1.0, 1e5])
def test_the_same_money_spent_better(unit):
    spent, fit = history(unit), curves(unit)
    model = allocation(fit, pd.DataFrame(spent))
    result = bilevel.solve(model, time_limit=30)
    assert (result.method, result.verdict) == ("joint", "certified_global")
    now = sum(s.sum() for s in spent.values())
    gained = result.value("lower.outcome")
    assert gained == pytest.approx(enumerated([fit], spent, now), rel=1e-4)
    assert gained >= by_hand(fit, spent, {c: s.sum() for c, s in spent.items()})
    table = allocation_table(model, result)
    assert table["response"].sum() == pytest.approx(gained, rel=1e-9)
    assert table["response_now"].sum() == pytest.approx(by_hand(fit, spent, {c: s.sum() for c, s in spent.items()}))
    assert table["proposed"].sum() == pytest.approx(now)
    inner = table["proposed"].between(0.51 * table["current"], 1.99 * table["current"])
    assert inner.all()
    assert table["marginal"].iloc[0] == pytest.approx(table["marginal"].iloc[1], rel=1e-3)  # one multiplier


def test_the_best_plan_in_the_worst_case():
    spent, fits = history(), [curves(), curves(effect=0.6)]
    result = bilevel.solve(allocation(fits, spent), time_limit=30)
    assert result.verdict == "certified_global"
    now = sum(s.sum() for s in spent.values())
    assert result.value("lower.outcome") == pytest.approx(enumerated(fits, spent, now), rel=1e-4)


def test_least_spend_for_a_response_and_most_for_a_return():
    spent, fit = history(), curves()
    now = sum(s.sum() for s in spent.values())
    wanted = 0.9 * enumerated([fit], spent, now)
    model = allocation(fit, spent, response=wanted)
    result = bilevel.solve(model, time_limit=30)
    assert result.verdict == "certified_global"
    assert result.value("lower.outcome") == pytest.approx(wanted, rel=1e-5)
    totals = np.linspace(0.5 * now, now, 60)
    least = next(t for t in totals if enumerated([fit], spent, t, 200) >= wanted)
    assert result.upper["total"] == pytest.approx(least, abs=totals[1] - totals[0])
    roas = enumerated([fit], spent, 0.8 * now) / (0.8 * now)
    result = bilevel.solve(allocation(fit, spent, roas=roas), time_limit=30)
    assert result.verdict == "certified_global"
    assert result.upper["total"] == pytest.approx(0.8 * now, rel=3e-3)


def test_limits_of_channels_and_groups():
    spent, fit = history(), curves()
    now = {c: s.sum() for c, s in spent.items()}
    plan = bilevel.solve(allocation(fit, spent, fixed=["a"], total=(1.0, 20.0)), time_limit=30).lower
    assert plan["lower.spend[a,0]"] == pytest.approx(now["a"])
    model = allocation(fit, spent, groups={"brand": (["a"], 0.0, 0.7 * now["a"])})
    assert bilevel.solve(model, time_limit=30).lower["lower.spend[a,0]"] <= 0.7 * now["a"] * (1 + 1e-6)
    model = allocation(fit, spent, total=0.8 * now["a"], bounds=(0.0, 2.0), none_or_at_least={"b": 0.75 * now["a"]})
    plan = bilevel.solve(model, time_limit=30).lower
    assert (
        plan["lower.spend[b,0]"] == pytest.approx(0.0, abs=1e-6) or plan["lower.spend[b,0]"] >= 0.75 * now["a"] - 1e-6
    )


def test_a_sweep_of_totals():
    spent, fit = history(), curves()
    now = sum(s.sum() for s in spent.values())
    model = allocation(fit, spent, total=(0.7 * now, 1.3 * now))
    table = bilevel.sweep(model, "total", [0.8 * now, now, 1.2 * now], time_limit=30, read=["lower.outcome"])
    assert table["lower.outcome"].is_monotonic_increasing
    assert (table["verdict"] == "certified_global").all()
    assert model.total.bounds == (0.7 * now, 1.3 * now)
    with pytest.raises(ModelError, match="no variable 'budget'"):
        bilevel.sweep(model, "budget", [1.0])


def test_a_curve_of_budgets_has_bands_and_a_multiplier():
    spent, fits = history(), [curves(), curves(effect=1.2)]
    model = allocation(fits, spent, total=(5.0, 40.0))
    plans = {10.0: (4.0, 6.0), 12.0: (5.0, 7.0), 20.0: (9.0, 11.0), 30.0: (np.nan, np.nan)}
    rows = [{"verdict": "certified_global", "lower.spend[a,0]": a, "lower.spend[b,0]": b} for a, b in plans.values()]
    table = budget_curve(model, pd.DataFrame(rows, index=pd.Index(plans, name="total")))
    assert list(table.columns) == ["response", "low", "high", "marginal", "verdict", "a", "b"]
    for total, (a, b) in list(plans.items())[:3]:
        each = [by_hand(fit, spent, {"a": a, "b": b}) for fit in fits]
        assert table.loc[total, ["low", "response", "high"]].tolist() == pytest.approx(
            [each[0], np.mean(each), each[1]]
        )
    assert table["marginal"].iloc[0] == pytest.approx((table["low"].iloc[1] - table["low"].iloc[0]) / 2.0)
    assert table["marginal"].notna().tolist() == [True, True, True, False]
    assert table.loc[30.0, ["low", "response", "high"]].isna().all()
    with pytest.raises(ModelError, match=r"no column 'lower.spend\[a,0\]'"):
        budget_curve(model, table)


def test_money_until_the_last_unit_brings_no_more():
    spent, fit = history(), curves()
    model = allocation(fit, spent, marginal_roas=0.9)
    result = bilevel.solve(model, time_limit=30)
    assert result.verdict == "certified_global"
    plan = allocation_table(model, result)
    inner = plan["proposed"].between(0.51 * plan["current"], 1.99 * plan["current"])
    assert inner.any()
    assert plan["marginal"][inner].to_numpy() == pytest.approx(0.9, rel=1e-2)
    with pytest.raises(ModelError, match="two targets"):
        allocation(fit, spent, marginal_roas=2.0, roas=3.0)
    with pytest.raises(ModelError, match="number above 0"):
        allocation(fit, spent, marginal_roas=0.0)


def test_carry_in_counts():
    spent = history()
    longer = {c: np.concatenate([np.full(3, 5.0), s]) for c, s in spent.items()}
    model = allocation(curves(), longer, weeks=WEEKS)
    base, _ = model.flighting.carried("a", model.fits[0]["a"])
    assert base[0] == pytest.approx(5.0 * (0.4 + 0.4**2 + 0.4**3))
    assert model.flighting.current("a", 0) == pytest.approx(spent["a"].sum())


@pytest.mark.parametrize("kind", ["michaelis_menten", "tanh", "logistic", "root"])
def test_every_saturation_is_certified(kind):
    spent = history()
    fit = {c: ResponseCurve(2.0, 1.0, 0.6, 0.3, saturation=kind) for c in spent}
    result = bilevel.solve(allocation(fit, spent), time_limit=30)
    assert result.verdict == "certified_global"
    model = allocation(fit, spent)
    plan = {key: result.lower[var.name] for key, var in model.lower.spend.items()}
    assert allocation_table(model, plan)["response"].sum() == pytest.approx(result.value("lower.outcome"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"history": {"a": [1.0, 2.0]}}, "history has no column 'b'"),
        ({"history": {"a": [1.0, -2.0], "b": [1.0, 1.0]}}, r"history\['a'\] is -2.0 in week 1"),
        ({"history": {"a": [1.0, 2.0], "b": [1.0]}}, r"history\['b'\] has 1 weeks"),
        ({"history": {"a": ["x", 2.0], "b": [1.0, 1.0]}}, r"history\['a'\] holds what is no number"),
        ({"total": (3.0, 1.0)}, "no range of budgets"),
        ({"fixed": ["c"]}, "fixed names 'c'"),
        ({"bounds": (2.0, 1.0)}, "the bounds of a cross"),
        ({"none_or_at_least": {"a": 1e9}}, "above its bound"),
        ({"weeks": 99}, "weeks= is at most what"),
        ({"fits": [curves(), {"a": curves()["a"]}]}, "the same channels: b"),
    ],
)
def test_bad_input_is_one_line(change, message):
    given = {"fits": curves(), "history": history()} | change
    with pytest.raises(ModelError, match=message):
        allocation(**given)


@pytest.mark.parametrize(
    "wrong", [{"half": 0.0}, {"effect": -1.0}, {"decay": 1.0}, {"saturation": "hil"}, {"exponent": 0}]
)
def test_a_curve_that_is_none(wrong):
    with pytest.raises(ModelError, match=next(iter(wrong))):
        ResponseCurve(**({"effect": 1.0, "half": 1.0} | wrong))
