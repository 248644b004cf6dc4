"""The marketing-mix model against the same problem written by hand in numpy, in money instead of scaled units."""

import csv
from datetime import date
from typing import Any

import numpy as np
import pytest
from model_files import GALLERY, load, set_values
from scipy.optimize import lsq_linear
from scipy.signal import lfilter

import bilevel
from bilevel.expressions.translation import evaluator

MEDIA = {
    "tv_S": (0.3, 0.8),
    "ooh_S": (0.1, 0.4),
    "print_S": (0.1, 0.4),
    "facebook_S": (0.0, 0.3),
    "search_S": (0.0, 0.3),
}


def weekly() -> dict[str, Any]:
    with (GALLERY / "data" / "robyn_dt_simulated_weekly.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("revenue", "competitor_sales_B", "newsletter", *MEDIA)
    table: dict[str, Any] = {name: np.array([float(row[name]) for row in rows]) for name in names}
    table["day"] = np.array([date.fromisoformat(row["DATE"]).timetuple().tm_yday for row in rows])
    return table


def marketing_mix(upper: dict[str, float], table: dict[str, Any]) -> tuple[float, float, Any]:
    """F, f and b, written by hand in numpy with spend and revenue in money."""
    n, m = 145, 31
    columns = []
    for c in MEDIA:
        adstock = lfilter([1], [1, -upper[f"theta[{c}]"]], table[c])
        half = upper[f"gamma[{c}]"] * adstock.max()
        power = upper[f"alpha[{c}]"]
        columns.append(adstock**power / (adstock**power + half**power))
    columns += [table["competitor_sales_B"], table["newsletter"], np.arange(208.0)]
    for k in (1, 2, 3):
        columns += [f(2 * np.pi * k * table["day"] / 365.25) for f in (np.sin, np.cos)]
    matrix = np.array(columns).T
    Z = (matrix - matrix[:n].mean(axis=0)) / matrix[:n].std(axis=0)
    mean, spread = table["revenue"][:n].mean(), table["revenue"][:n].std()
    y = (table["revenue"] - mean) / spread
    root = np.sqrt(n * upper["penalty"])
    low = np.where(np.arange(14) < 5, 0.0, -np.inf)
    system = np.vstack([Z[:n], root * np.eye(14)]), np.concatenate([y[:n], np.zeros(14)])
    b = lsq_linear(*system, bounds=(low, np.inf), method="bvls", tol=1e-15).x
    revenue = table["revenue"][n : n + m]
    error = Z[n : n + m] @ b * spread + mean - revenue
    nrmse = np.sqrt(np.mean(error**2)) / (revenue.max() - revenue.min())
    return nrmse, ((Z[:n] @ b - y[:n]) ** 2).sum() / (2 * n) + upper["penalty"] / 2 * b @ b, b


def some_upper_points(known: dict[str, float]) -> list[dict[str, float]]:
    rng = np.random.default_rng(7)
    points = [known]
    for _ in range(4):
        point = {f"theta[{c}]": rng.uniform(*limits) for c, limits in MEDIA.items()}
        point |= {f"alpha[{c}]": rng.uniform(0.5, 3) for c in MEDIA} | {
            f"gamma[{c}]": rng.uniform(0.3, 1) for c in MEDIA
        }
        points.append(point | {"penalty": 10 ** rng.uniform(-4, 1)})
    # Where adstock is zero in the weeks without spend and the exponent is least, the logarithm is hardest.
    corner = {"theta[facebook_S]": 0.0, "theta[search_S]": 0.0, "alpha[facebook_S]": 0.5, "alpha[search_S]": 0.5}
    points.append(known | corner | {"gamma[facebook_S]": 0.3, "gamma[search_S]": 0.3})
    return points


def test_marketing_mix_agrees_with_numpy() -> None:
    module = load("marketing_mix")
    model, table = module.create_model(), weekly()
    known = module.KNOWN
    for point in some_upper_points(known["upper"]):
        objective, training, b = marketing_mix(point, table)
        set_values(model, point)
        for var, value in zip(model.lower.b.values(), b, strict=True):
            var.set_value(value)
        at_point = evaluator({})
        assert at_point(model.obj.expr) == pytest.approx(objective, abs=1e-12)
        assert at_point(model.lower.obj.expr) == pytest.approx(training, abs=1e-12)
    assert marketing_mix(known["upper"], table)[0] == pytest.approx(known["upper_objective"], abs=1e-10)


EVERY = [(data, folds) for data in ("robyn", "pymc_example", "pymc_roas", "meridian") for folds in (1, 3)]
FAST = [("pymc_roas", 3), ("meridian", 1)]


@pytest.mark.parametrize(
    ("data", "folds"), [case if case in FAST else pytest.param(*case, marks=pytest.mark.slow) for case in EVERY]
)
def test_every_table_gives_a_model_that_answers(data: str, folds: int) -> None:
    """The readings by numpy are what the model's Expressions are worth at the followers' answer."""
    model = load("marketing_mix").create_model(data=data, folds=folds)
    response = bilevel.Response(model)
    variables = response.problem.variables
    low, high = np.array([var.bounds for var in variables], dtype=float).T
    x = low + (high - low) * np.random.default_rng(0).random(len(low))
    reply = response(x)
    upper = dict(zip([var.name for var in variables], x, strict=True))
    lower = dict(zip([var.name for var in response.problem.lower_variables], reply.y, strict=True))
    table = bilevel.blocks.readings(model, {"upper": upper, "lower": lower})
    known = {id(var): float(v) for var, v in zip(variables, x, strict=True)}
    known |= {id(var): float(v) for var, v in zip(response.problem.lower_variables, reply.y, strict=True)}
    at = evaluator(known)
    errors = [table.error("validation")] if folds == 1 else []
    assert errors == pytest.approx([at(model.nrmse)] if folds == 1 else [], rel=1e-9)
    assert at(model.nrmse) == pytest.approx(reply.cost, rel=1e-9)
    assert table.error("test") == pytest.approx(at(model.test_nrmse), rel=1e-9)
    for c in model.media:
        assert table.numbers.marginal(c) == pytest.approx(at(model.marginal_roas[c]), rel=1e-9, abs=1e-12)
        effect = table.numbers.effect(c)
        assert effect[list(model.mix.seen)].sum() == pytest.approx(at(model.effect[c]), rel=1e-9, abs=1e-9)
        assert effect == pytest.approx([at(model.contribution[c, t]) for t in range(model.mix.weeks)], abs=1e-6)
        up, down = table.numbers.response(c, np.array([1 + 1e-5, 1 - 1e-5]))
        spent = model.mix.channels[c].spend[list(model.mix.seen)].sum()
        assert (up - down) / 2e-5 / spent == pytest.approx(table.numbers.marginal(c), rel=1e-4, abs=1e-9)


def test_marketing_mix_is_a_minimum_along_every_axis() -> None:
    known, table = load("marketing_mix").KNOWN["upper"], weekly()
    model = load("marketing_mix").create_model()
    best = marketing_mix(known, table)[0]
    for name, value in known.items():
        low, high = model.find_component(name).bounds
        for moved in (value * 0.999, value * 1.001):
            assert marketing_mix(known | {name: min(max(moved, low), high)}, table)[0] >= best - 1e-12
