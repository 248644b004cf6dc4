"""Adstock, saturation, units and the calendar against independent numpy, their derivatives against differences."""

import pickle
from datetime import date, datetime

import numpy as np
import pyomo.environ as pyo
import pytest
from compiled import compiled, differences
from scipy.signal import lfilter
from scipy.stats import weibull_min

import bilevel
from bilevel import BilevelError, blocks
from bilevel.expressions.translation import evaluator

SPEND = np.array([0.0, 0.0, 3.0, 0.0, 1.0, 7.0, 0.0, 0.0, 2.0, 2.0, 0.0, 5.0])
HUGE = np.array([1.0, 2.0, 1e9, 0.0, 3.0])


def convolved(spend, weights):
    return np.convolve(spend, weights)[: len(spend)]


def geometric(spend, theta, length=None, normalised=False):
    if length is None:
        return lfilter([1.0 - theta if normalised else 1.0], [1.0, -theta], spend)
    weights = np.array([1.0] + [theta**k for k in range(1, length)])
    return convolved(spend, weights / weights.sum() if normalised else weights)


def delayed(spend, theta, delay, length=5, normalised=True):
    weights = np.array([theta ** ((k - delay) ** 2) for k in range(length)])
    return convolved(spend, weights / weights.sum() if normalised else weights)


def weibull(spend, shape, scale, kind, length=6, normalised=True):
    if kind == "pdf":
        density = weibull_min.pdf(np.arange(1, length + 1), shape, scale=scale)
        weights = (density - density.min()) / (density.max() - density.min())
    else:
        weights = np.cumprod([1.0, *weibull_min.sf(np.arange(1, length), shape, scale=scale)])
    return convolved(spend, weights / weights.sum() if normalised else weights)


def binomial(spend, theta, length=6, normalised=True):
    weights = (1 - np.arange(length) / length) ** (1 / theta - 1)
    return convolved(spend, weights / weights.sum() if normalised else weights)


ADSTOCKS = {
    "geometric": (lambda x, t: blocks.geometric_adstock(x, t), geometric, [(0.0, 1.0)]),
    "geometric, normalised": (
        lambda x, t: blocks.geometric_adstock(x, t, normalised=True),
        lambda x, t: geometric(x, t, normalised=True),
        [(0.0, 1.0)],
    ),
    "geometric, 4 weeks": (
        lambda x, t: blocks.geometric_adstock(x, t, length=4, normalised=True),
        lambda x, t: geometric(x, t, 4, True),
        [(0.0, 1.0)],
    ),
    "delayed": (lambda x, t, d: blocks.delayed_adstock(x, t, d, length=5), delayed, [(0.01, 0.9), (0.0, 3.0)]),
    "weibull pdf": (
        lambda x, k, s: blocks.weibull_adstock(x, k, s, length=6),
        lambda x, k, s: weibull(x, k, s, "pdf"),
        [(0.5, 5.0), (0.7, 6.0)],
    ),
    "weibull cdf": (
        lambda x, k, s: blocks.weibull_adstock(x, k, s, length=6, kind="cdf", normalised=False),
        lambda x, k, s: weibull(x, k, s, "cdf", normalised=False),
        [(0.5, 2.0), (0.7, 6.0)],
    ),
    "binomial": (lambda x, t: blocks.binomial_adstock(x, t, length=6), binomial, [(0.05, 1.0)]),
}
SATURATIONS = {
    "hill": (blocks.hill, lambda a, e, k: a**e / (a**e + k**e), [(0.5, 3.0), (0.3, 4.0)]),
    "logistic": (blocks.logistic, lambda a, r: (1 - np.exp(-r * a)) / (1 + np.exp(-r * a)), [(0.1, 3.0)]),
    "michaelis_menten": (blocks.michaelis_menten, lambda a, k: a / (a + k), [(0.2, 4.0)]),
    "tanh": (blocks.tanh_saturation, lambda a, k: np.tanh(a / k), [(0.2, 4.0)]),
    "root": (blocks.root, lambda a, e: a**e, [(0.3, 1.0)]),
}


def variables(ranges):
    model = pyo.ConcreteModel()
    model.p = pyo.Var(range(len(ranges)))
    for var, limits in zip(model.p.values(), ranges, strict=True):
        var.bounds = limits
    return model, list(model.p.values())


def inside(ranges, rng, count=5):
    return [
        [rng.uniform(low + 0.02 * (high - low), high - 0.02 * (high - low)) for low, high in ranges]
        for _ in range(count)
    ]


@pytest.mark.parametrize("name", ADSTOCKS)
@pytest.mark.parametrize(
    "spend", [SPEND, SPEND * 1e7, HUGE, 0 * SPEND], ids=["usual", "millions", "one huge week", "none"]
)
def test_adstock_agrees_with_numpy_and_its_derivatives_with_differences(name, spend):
    ours, numpy, ranges = ADSTOCKS[name]
    model, p = variables(ranges)
    column = model.carried = ours(spend, *p)
    rng, size = np.random.default_rng(1), max(1.0, spend.max())
    ends = [[low for low, _ in ranges], [high for _, high in ranges]]
    if not spend.any() and isinstance(column, np.ndarray):
        assert not column.any()
        return
    at = compiled(column, p)
    for point in [*inside(ranges, rng), *ends]:
        values, _ = at(point)
        assert values == pytest.approx(numpy(spend, *point), abs=1e-12 * size)
        assert ours(spend, *point) == pytest.approx(values, abs=1e-12 * size)
    for point in inside(ranges, rng, 3):
        slopes = differences(lambda *q: numpy(spend, *q), point)
        assert at(point)[1] == pytest.approx(slopes, abs=1e-6 * size)


@pytest.mark.parametrize("name", SATURATIONS)
def test_saturation_agrees_with_numpy_and_its_derivatives_with_differences(name):
    ours, numpy, ranges = SATURATIONS[name]
    model, (theta, *p) = variables([(0.0, 1.0), *ranges])
    model.carried = blocks.geometric_adstock(SPEND, theta)
    model.saturated = ours(model.carried, *p)
    at, rng = compiled(model.saturated, [theta, *p]), np.random.default_rng(2)
    for point in inside([(0.05, 1.0), *ranges], rng):
        values, slopes = at(point)
        assert values == pytest.approx(numpy(geometric(SPEND, point[0]), *point[1:]), abs=1e-12)
        assert slopes == pytest.approx(differences(lambda t, *q: numpy(geometric(SPEND, t), *q), point), abs=1e-6)
        assert ours(geometric(SPEND, point[0]), *point[1:]) == pytest.approx(values, abs=1e-12)


@pytest.mark.parametrize("name", SATURATIONS)
@pytest.mark.parametrize(
    "spend", [SPEND, SPEND * 1e7, HUGE, 0 * SPEND], ids=["usual", "millions", "one huge week", "none"]
)
def test_saturation_at_the_edges_is_finite_and_so_is_its_derivative(name, spend):
    ours, _, ranges = SATURATIONS[name]
    model, (theta, *p) = variables([(0.0, 1.0), *ranges])
    model.carried = blocks.geometric_adstock(spend, theta)
    column = model.saturated = ours(model.carried, *p)
    if not spend.any():
        assert not np.asarray(column).any()
        return
    at = compiled(column, [theta, *p])
    for decay in (0.0, 1.0):
        for end in range(2):
            values, slopes = at([decay, *(limits[end] for limits in ranges)])
            assert np.isfinite(values).all()
            assert np.isfinite(slopes).all()
            assert not values[: int(np.argmax(spend > 0))].any()
            assert values[np.flatnonzero(geometric(spend, decay) == 0)] == pytest.approx(0.0, abs=1e-4)


def test_lifts_are_the_derivative_by_a_growth_of_all_spend():
    from bilevel.blocks.saturation import CURVES

    amounts = np.array([0.2, 1.0, 3.0])
    for curve in CURVES.values():
        shape = [0.7, 1.3][: len(curve.parameters)]
        values = np.asarray(curve.apply(amounts, *shape))
        up, down = (np.asarray(curve.apply(amounts * (1 + e), *shape)) for e in (1e-6, -1e-6))
        assert [curve.lift(a, s, *shape) for a, s in zip(amounts, values, strict=True)] == pytest.approx(
            (up - down) / 2e-6, rel=1e-6
        )


def test_what_was_carried_in_decays_on():
    model, (theta,) = variables([(0.0, 1.0)])
    model.carried = blocks.geometric_adstock(SPEND, theta, carry_in=4.0)
    longer = geometric(np.array([4.0, *SPEND]), 0.6)[1:]
    assert compiled(model.carried, [theta])([0.6])[0] == pytest.approx(longer)
    assert blocks.geometric_adstock(SPEND, 0.6, carry_in=4.0) == pytest.approx(longer)


def test_spend_may_be_a_decision_and_parameters_numbers():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(6), bounds=(0, 10))
    model.carried = blocks.geometric_adstock(model.x, 0.5)
    model.effect = blocks.hill(model.carried, 2.0, 3.0)
    x = np.array([1.0, 0.0, 4.0, 2.0, 0.0, 1.0])
    values, slopes = compiled(model.effect, list(model.x.values()))(x)
    hand = lambda *v: geometric(np.array(v), 0.5) ** 2 / (geometric(np.array(v), 0.5) ** 2 + 9.0)  # noqa: E731
    assert values == pytest.approx(hand(*x), abs=1e-12)
    assert slopes == pytest.approx(differences(hand, x), abs=1e-6)


def test_standardised_columns_are_those_of_the_training_rows():
    model, (theta,) = variables([(0.0, 1.0)])
    model.carried = blocks.geometric_adstock(SPEND, theta)
    model.column = blocks.standardised(model.carried, train=8)

    def hand(t):
        carried = geometric(SPEND, t)
        return (carried - carried[:8].mean()) / carried[:8].std()

    values, slopes = compiled(model.column, [theta])([0.4])
    assert values == pytest.approx(hand(0.4), abs=1e-12)
    assert slopes == pytest.approx(differences(hand, [0.4]), abs=1e-6)
    assert blocks.standardised(SPEND, [2, 4, 5]) == pytest.approx((SPEND - 11 / 3) / SPEND[[2, 4, 5]].std())
    assert not blocks.standardised([2.0, 2.0, 2.0, 9.0], train=3).any()


def test_the_peak_leaves_no_week_out_that_can_be_it():
    rng = np.random.default_rng(3)
    for _ in range(20):
        spend = rng.gamma(0.5, size=30) * (rng.random(30) < 0.4)
        model, (theta,) = variables([tuple(sorted(rng.uniform(0, 1, 2)))])
        model.carried = blocks.geometric_adstock(spend, theta)
        model.peak, model.early = blocks.peak(model.carried), blocks.peak(model.carried, 12)
        for decay in np.linspace(*theta.bounds, 7):
            at = evaluator({id(theta): float(decay)})
            assert at(model.peak) == pytest.approx(geometric(spend, decay).max(), rel=1e-14)
            assert at(model.early) == pytest.approx(geometric(spend, decay)[:12].max(), rel=1e-14)


def test_a_nested_column_takes_its_parts_along_when_it_is_named_copied_and_pickled():
    model, (theta, alpha) = variables([(0.0, 1.0), (0.5, 3.0)])
    long = np.random.default_rng(0).gamma(1.0, size=1500)
    carried = blocks.geometric_adstock(long, theta)
    model.column = blocks.standardised(blocks.hill(carried, alpha, blocks.peak(carried)), train=1000)
    for copy in (model.clone(), pickle.loads(pickle.dumps(model))):
        mine = list(copy.component_data_objects(pyo.Var))
        assert mine[0] is not theta
        there = evaluator(dict(zip(map(id, mine), (0.5, 2.0), strict=True)))
        here = evaluator({id(theta): 0.5, id(alpha): 2.0})
        assert there(copy.column[1400]) == here(model.column[1400])


def test_the_calendar():
    dates = [date(2023, 12, 18), date(2023, 12, 25), date(2024, 1, 1)]
    kinds = [
        dates,
        [str(day) for day in dates],
        np.array(dates, dtype="datetime64[ns]"),
        [datetime(d.year, d.month, d.day) for d in dates],
    ]
    for each in kinds:
        columns = blocks.seasons(each, 2)
        assert list(columns) == ["sin1", "cos1", "sin2", "cos2"]
        assert columns["sin2"] == pytest.approx(np.sin(4 * np.pi * np.array([352, 359, 1]) / 365.25))
        assert blocks.trend(each).tolist() == [0.0, 1.0, 2.0]
    found = blocks.holidays(
        dates, {"christmas": ["2023-12-25", "2023-12-26", "2030-12-25"], "new year": ["2024-01-07"]}
    )
    assert {name: column.tolist() for name, column in found.items()} == {"christmas": [0, 2, 0], "new year": [0, 0, 1]}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: blocks.geometric_adstock(SPEND, 1.2), "from 0 to 1"),
        (lambda: blocks.geometric_adstock([1.0, float("nan")], 0.5), "spend.*nan at row 1"),
        (lambda: blocks.geometric_adstock([1.0, "x"], 0.5), "spend.*'x' at row 1"),
        (lambda: blocks.geometric_adstock(np.ones((2, 2)), 0.5), "one column"),
        (lambda: blocks.geometric_adstock(SPEND, 0.5, carry_in=1.0, length=3), "carry_in"),
        (lambda: blocks.delayed_adstock(SPEND, 0.5, 1.0, length=0), "whole number of weeks"),
        (lambda: blocks.weibull_adstock(SPEND, 0.0, 1.0), "positive"),
        (lambda: blocks.weibull_adstock(SPEND, 1.0, 1.0, kind="both"), "'pdf' and 'cdf'"),
        (lambda: blocks.binomial_adstock(SPEND, 0.0), "positive"),
        (lambda: blocks.hill([-1.0], 1.0, 1.0), "negative"),
        (lambda: blocks.hill([1.0], 0.0, 1.0), "positive"),
        (lambda: blocks.standardised(SPEND, 99), "there are 12 rows"),
        (lambda: blocks.seasons(["soon"]), "row 0 is 'soon'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(call, said):
    with pytest.raises(BilevelError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_blocks_are_public():
    assert bilevel.blocks is blocks
