"""A marketing mix from a table: choices, constraints on what the follower says, readings, pictures, bad tables."""

import json
import pickle
from datetime import date, timedelta
from functools import cache

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import BilevelError, blocks
from bilevel.tolerances import FEASIBILITY

pandas = pytest.importorskip("pandas")
WEEKS = 70


def table(weeks=WEEKS):
    rng = np.random.default_rng(5)
    tv = rng.gamma(1.0, size=weeks) * (rng.random(weeks) < 0.6) * 1e5
    search = rng.gamma(3.0, size=weeks) * 1e4
    price = rng.normal(size=weeks)
    effect = blocks.hill(blocks.geometric_adstock(tv, 0.4), 1.5, 1e5)
    sales = 1e6 + 4e5 * effect + 2e5 * search / (search + 3e4) - 5e4 * price + rng.normal(size=weeks) * 1e4
    days = [date(2023, 1, 2) + timedelta(weeks=t) for t in range(weeks)]
    return {"week": days, "tv": tv, "search": search, "price": price, "sales": sales}


USUAL = {"outcome": "sales", "media": ["tv", "search"], "controls": ["price"], "dates": "week", "seasons": 1}


def mix(frame=None, **choices):
    return blocks.marketing_mix(table() if frame is None else frame, **(USUAL | choices))


@cache
def solved():
    model = mix()
    return model, bilevel.solve(model, "gradient", budget=60, seed=0)


def test_a_frame_and_a_dictionary_give_the_same_model():
    frame = pandas.DataFrame(table())
    frame["week"] = pandas.to_datetime(frame["week"])
    one, other = bilevel.Response(mix(frame)), bilevel.Response(mix())
    x = np.array([0.2, 0.5, 1.0, 2.0, 0.5, 0.9, 0.01])
    assert one(x).cost == other(x).cost


@pytest.mark.parametrize(("adstock", "saturation"), list(zip(blocks.ADSTOCKS, blocks.SATURATIONS, strict=True)))
def test_every_adstock_goes_with_every_saturation(adstock, saturation):
    model = mix(adstock={"tv": adstock, "search": "geometric"}, saturation=saturation, length=4)
    assert [v.name for v in model.component_data_objects(pyo.Var, descend_into=False)]
    values = {
        name: {c: float(np.mean(var.bounds)) for c, var in model.component(name).items()} for name in names(model)
    }
    b = dict.fromkeys(model.lower.b, 0.1)
    numbers = model.mix.at({c: {k: v[c] for k, v in values.items() if c in v} for c in model.media}, b)
    assert np.isfinite(numbers.fitted).all()
    assert numbers.effect("tv")[np.array(table()["tv"]).nonzero()[0]].min() >= 0


def names(model):
    return [v.name for v in model.component_objects(pyo.Var, descend_into=False) if v.name != "penalty"]


def test_the_split_is_the_one_asked_for_and_folds_roll():
    plan = mix(split=(40, 10), folds=2).mix
    assert plan.folds == ((range(30), range(30, 40)), (range(40), range(40, 50)))
    assert plan.periods == ["training"] * 40 + ["validation"] * 10 + ["test"] * 20
    assert mix().mix.folds == ((range(49), range(49, 59)),)


def test_test_weeks_change_nothing_but_the_test():
    other = table()
    for name in ("tv", "search", "price", "sales"):
        other[name] = np.array([*other[name][:59], *(7 * np.abs(other[name][59:]))])
    x = np.array([0.2, 0.5, 1.0, 2.0, 0.5, 0.9, 0.01])
    assert bilevel.Response(mix(other))(x).cost == bilevel.Response(mix())(x).cost


def test_a_number_holds_a_parameter_and_signs_are_bounds():
    model = mix(ranges={"alpha": {"tv": 1.0}, "theta": (0.1, 0.3)}, signs={"price": "negative"}, penalty=0.1)
    assert model.alpha["tv"].fixed
    assert not model.alpha["search"].fixed
    assert model.theta["tv"].bounds == (0.1, 0.3)
    assert model.penalty.fixed
    assert (model.lower.b["price"].lb, model.lower.b["price"].ub) == (None, 0.0)
    assert model.lower.b["tv"].lb == 0.0


@pytest.mark.parametrize("method", ["gradient", pytest.param("surrogate", marks=pytest.mark.slow)])
def test_a_return_on_spend_can_be_demanded_in_a_line(method):
    model, result = solved()
    free = result.value(model.roas)["tv"]
    model = mix()
    model.floor = pyo.Constraint(expr=model.roas["tv"] >= 1.05 * free)
    model.lift = pyo.Constraint(
        expr=pyo.inequality(0.0, sum(model.contribution["search", t] for t in range(20, 30)), 3e6)
    )
    kept = bilevel.solve(model, method, budget=60, seed=0)
    assert kept.upper_violation <= FEASIBILITY
    assert kept.value(model.roas)["tv"] >= 1.05 * free * (1 - 1e-6)
    assert kept.upper_objective >= result.upper_objective - 1e-9


def test_readings_are_those_of_the_expressions_and_survive_a_file(tmp_path):
    model, result = solved()
    result.to_json(tmp_path / "found.json")
    here, there = blocks.readings(model, result), blocks.readings(mix(), tmp_path / "found.json")
    pandas.testing.assert_frame_equal(here.channels(), there.channels())
    assert here.channels()["roas"].to_dict() == pytest.approx(result.value(model.roas))
    assert here.error("validation") == pytest.approx(result.upper_objective)
    assert here.error("test") == pytest.approx(result.value(model.test_nrmse))
    weekly = here.contributions()
    assert weekly.sum(axis=1).to_numpy() == pytest.approx(here.fit()["fitted"].to_numpy())
    assert list(weekly.columns) == ["baseline", "price", "trend", "sin1", "cos1", "tv", "search"]
    curves = here.curves(points=3)
    now = curves[curves["times"] == 1.0].set_index("channel")["response"] * len(model.mix.seen)
    assert now.to_dict() == pytest.approx(here.channels()["effect"].to_dict())
    assert here.errors().loc["validation", "nrmse"] == here.error("validation")


def test_points_near_the_best_and_how_far_they_spread():
    model, result = solved()
    near = result.near(0.01)
    best = min(e.upper_objective for e in result.history)
    assert near[0].upper_objective == best
    assert {e.index for e in near} == {e.index for e in result.history if e.upper_objective <= 1.01 * best}
    wide = blocks.spread(model, near)
    assert (wide["least"] <= wide["largest"]).all()
    share = [blocks.readings(model, e).channels().loc["tv", "share"] for e in near]
    assert wide.loc[("tv", "share"), "largest"] == pytest.approx(max(share))
    for told in blocks.readings(model, result).at_bounds():
        assert " is " in told


def test_pictures_are_drawn_by_name(tmp_path):
    _, result = solved()
    for name in ("waterfall", "curves"):
        result.plot(name, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    with pytest.raises(BilevelError, match="no picture 'decompositon'; it has fit, decomposition"):
        result.plot("decompositon")
    assert not pickle.loads(pickle.dumps(result)).pictures


@pytest.mark.slow
def test_every_picture_stands_in_the_report(tmp_path):
    _, result = solved()
    result.report(tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert all(f'alt="{name}"' in page for name in result.pictures)
    assert list(result.pictures) == ["fit", "decomposition", "waterfall", "shares", "curves", "adstock", "identified"]


def test_a_model_may_bring_its_own_pictures(tmp_path):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = bilevel.LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 1))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y)
    model.pictures = {"dot": lambda figure, result, model: figure.subplots().plot([result.upper["x"]], [0.0], "o")}
    result = bilevel.solve(model, "grid", budget=3)
    result.report(tmp_path / "out.html")
    assert 'alt="dot"' in (tmp_path / "out.html").read_text(encoding="utf-8")


def changed(name, t, value):
    new = {key: list(column) for key, column in table().items()}
    new[name][t] = value
    return new


def without(t):
    return {name: [v for k, v in enumerate(column) if k != t] for name, column in table().items()}


BAD = [
    (lambda: mix(changed("price", 3, float("nan"))), "column 'price' is nan in the period of 2023-01-23"),
    (lambda: mix(changed("price", 3, None)), "column 'price' is None in the period of 2023-01-23"),
    (lambda: mix(changed("sales", 4, "n/a")), "column 'sales' is 'n/a' in the period of 2023-01-30"),
    (lambda: mix(changed("tv", 2, -5.0)), "column 'tv' is -5 in the period of 2023-01-16.*negative"),
    (lambda: mix(changed("week", 2, "soon")), "column 'week': row 2 is 'soon'"),
    (lambda: mix(changed("week", 2, None)), "column 'week': row 2 is None"),
    (lambda: mix(changed("week", 2, date(2023, 1, 9))), "2023-01-09 stands twice"),
    (lambda: mix(changed("week", 2, date(2022, 1, 9))), "one row per period, the oldest first"),
    (lambda: mix(without(10)), "2023-03-20 follows 2023-03-06 after 14 days where 7 are usual"),
    (lambda: mix(table() | {"tv": np.zeros(WEEKS)}), "column 'tv' has no spend at all"),
    (lambda: mix(table() | {"tv": np.eye(1, WEEKS, 65)[0]}), "'tv' has no spend before the period of"),
    (lambda: mix(table(9)), "at least 4 and 2 are needed"),
    (lambda: mix(table(14), seasons=4), "9 training weeks.*too few for 2 channels and 10 controls"),
    (lambda: mix(media=["tv", "radio"]), "no column 'radio'; the table has week, tv"),
    (lambda: mix(media=[]), "at least one channel"),
    (lambda: mix(media=["tv", "tv"]), "'tv' stands twice"),
    (lambda: mix(controls=["tv"]), "'tv' has two roles"),
    (lambda: mix(adstock="weekly"), "there are geometric, delayed"),
    (lambda: mix(saturation={"tv": "hill"}), "'search' is missing"),
    (lambda: mix(ranges={"beta": (0, 1)}), "no channel has a parameter 'beta'"),
    (lambda: mix(ranges={"theta": (0.5, 0.1)}), "empty"),
    (lambda: mix(ranges={"theta": (0.5, 1.5)}), "from 0 to 1"),
    (lambda: mix(penalty=(0, 1)), "must be positive"),
    (lambda: mix(split=(0.9, 0.2)), "of 70 weeks"),
    (lambda: mix(split=0.7), "shares of the table"),
    (lambda: mix(folds=9), "folds=9"),
    (lambda: mix(signs={"price": "down"}), "no sign 'down'"),
    (lambda: mix(dates=None), "need dates"),
    (lambda: mix(reference="median"), "reference='median'"),
    (lambda: mix(table() | {"sales": np.ones(WEEKS)}), "'sales' is constant in the 10 validation weeks"),
    (lambda: mix([1, 2]), "a list is no table"),
    (lambda: blocks.readings(pyo.ConcreteModel(), {"upper": {}}), "not one that"),
    (lambda: blocks.readings(mix(), {"upper": {"x": 1.0}}), "no value of theta"),
]


@pytest.mark.parametrize(("call", "said"), BAD)
def test_a_bad_table_or_choice_gets_one_line(call, said):
    with pytest.raises(BilevelError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_what_was_found_is_where_a_longer_table_starts(tmp_path):
    _, result = solved()
    (tmp_path / "found.json").write_text(json.dumps(result.to_dict(), default=str), encoding="utf-8")
    longer = mix(table(WEEKS + 4), split=(53, 10))
    blocks.start_from(longer, tmp_path / "found.json")
    for name, value in result.upper.items():
        var = longer.find_component(name)
        assert var.value == pytest.approx(min(max(value, var.lb), var.ub))
