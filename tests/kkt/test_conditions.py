"""The transformation: signs, residuals at known optima, names, refusals, and that its result is an ordinary model."""

from __future__ import annotations

import pickle

import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel, maximum
from bilevel.errors import BilevelError, ModelError, RefusedError
from bilevel.kkt.conditions import SIGN, OptimalityConditions

FACTORY = pyo.TransformationFactory("bilevel.kkt")


def toy(sense=pyo.minimize):
    """min (y - 5)^2 s.t. y <= x, y >= 0: y = x below 5, multiplier 2 (5 - x)."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 10), initialize=2.0)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(bounds=(0, None), initialize=2.0)
    m.lower.cap = pyo.Constraint(expr=m.lower.y <= m.x)
    m.lower.obj = pyo.Objective(expr=sense * (m.lower.y - 5) ** 2, sense=sense)
    m.obj = pyo.Objective(expr=m.x**2 + m.lower.y**2)
    return m


def conditions_of(model, **options):
    single = FACTORY.create_using(model, complementarity=None, **options)
    assert isinstance(single.bilevel_kkt, OptimalityConditions)
    return single, single.bilevel_kkt


def residuals(block):
    return [abs(pyo.value(row.body)) for row in block.stationarity.values()]


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_the_known_multiplier_satisfies_the_conditions(sense):
    single, block = conditions_of(toy(sense))
    single.x.value, single.lower.y.value = 2.0, 2.0
    block.multiplier["lower.cap", "upper"].value = 6.0
    block.multiplier["lower.y", "lower"].value = 0.0
    assert residuals(block) == [pytest.approx(0.0)]
    for pair in block.pairs:
        assert pyo.value(pair.slack) >= 0
        assert pyo.value(pair.slack) * pair.multiplier.value == pytest.approx(0.0)


# One inequality, g(y) = 2 y <= 3 (with min y's negative pushing against it), in every way to say it. The last entry
# is what its multiplier must be for stationarity of min -7 y: 7 = 2 mu where the row is 2 y, 7 = mu for the bound.
WAYS = {
    "upper": lambda y, p: ((2 * y <= 3), "upper", 3.5),
    "turned round": lambda y, p: ((2 * y <= 3), "upper", 3.5),
    "times minus one": lambda y, p: ((-2 * y >= -3), "lower", 3.5),
    "moved over": lambda y, p: ((2 * y - 3 <= 0), "upper", 3.5),
    "range": lambda y, p: ((-4, 2 * y, 3), "upper", 3.5),
    "range times minus one": lambda y, p: ((-3, -2 * y, 4), "lower", 3.5),
    "equality": lambda y, p: ((2 * y == 3), "equality", 3.5),
    "equality times minus one": lambda y, p: ((-2 * y == -3), "equality", -3.5),
    "range without width": lambda y, p: ((3, 2 * y, 3), "equality", 3.5),
    "a param for the bound": lambda y, p: ((2 * y <= p), "upper", 3.5),
    "nonlinear": lambda y, p: ((pyo.exp(2 * y) <= pyo.exp(3.0)), "upper", 3.5 / pyo.exp(3.0)),
}


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("way", WAYS)
def test_signs_whatever_way_a_row_is_written(way, sense):
    m = pyo.ConcreteModel()
    m.p = pyo.Param(mutable=True, initialize=3.0)
    m.x = pyo.Var(initialize=0.0)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(initialize=1.5)
    expr, side, expected = WAYS[way](m.lower.y, m.p)
    m.lower.row = pyo.Constraint(expr=expr)
    m.lower.obj = pyo.Objective(expr=sense * (-7 * m.lower.y + m.x), sense=sense)
    m.obj = pyo.Objective(expr=m.x + m.lower.y)
    single, block = conditions_of(m)
    multipliers = block.multipliers_of(single.lower.row)
    for name, multiplier in multipliers.items():
        multiplier.value = expected if name == side else 0.0
        assert multiplier.lb == (None if name == "equality" else 0)
    assert residuals(block) == [pytest.approx(0.0)]
    slacks = {pair.side: pyo.value(pair.slack) for pair in block.pairs}
    assert slacks.get(side, 0.0) == pytest.approx(0.0)
    assert all(slack >= -1e-12 for slack in slacks.values())


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize(
    ("bounds", "within", "slope", "side"),
    [
        ((None, 1.5), pyo.Reals, -7, "upper"),
        ((1.5, None), pyo.Reals, 7, "lower"),
        ((1.5, 1.5), pyo.Reals, 7, "equality"),
        ((-1, 1.5), pyo.Reals, -7, "upper"),
        ((None, None), pyo.NonNegativeReals, 7, "lower"),
        ((None, None), pyo.NonPositiveReals, -7, "upper"),
        ((None, None), pyo.UnitInterval, -7, "upper"),
    ],
)
def test_signs_of_bounds(bounds, within, slope, side, sense):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(initialize=0.0)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(bounds=bounds, within=within)
    m.lower.obj = pyo.Objective(expr=sense * slope * m.lower.y, sense=sense)
    m.obj = pyo.Objective(expr=m.x + m.lower.y)
    single, block = conditions_of(m)
    multipliers = block.multipliers_of(single.lower.y)
    for name, multiplier in multipliers.items():
        multiplier.value = (-SIGN[side] * slope) if name == side else 0.0
    assert residuals(block) == [pytest.approx(0.0)]
    if side != "equality":
        assert multipliers[side].value > 0


def test_everything_is_named_after_its_source_and_leads_back():
    m = toy()
    m.lower.sub = pyo.Block()
    m.lower.sub.z = pyo.Var([1, 2], bounds=(0, 1))
    m.lower.sub.link = pyo.Constraint([1, 2], rule=lambda b, i: b.z[i] <= m.lower.y)
    m.lower.obj.set_value(m.lower.obj.expr + m.lower.sub.z[1] ** 2 + m.lower.sub.z[2] ** 2)
    single, block = conditions_of(m)
    assert set(block.stationarity) == {"lower.y", "lower.sub.z[1]", "lower.sub.z[2]"}
    for name, row in block.stationarity.items():
        assert block.get_source(row) is single.find_component(name)
    for (name, side), multiplier in block.multiplier.items():
        source = single.find_component(name)
        assert block.get_source(multiplier) is source
        assert block.multipliers_of(source)[side] is multiplier
    assert {(p.source, p.side) for p in block.pairs} == set(block.multiplier)
    with pytest.raises(ModelError, match="obj is no row"):
        block.get_source(single.obj)


@pytest.mark.parametrize(
    "copy", [lambda m: m.clone(), lambda m: pickle.loads(pickle.dumps(m))], ids=["clone", "pickle"]
)
def test_a_copy_leads_back_within_itself(copy):
    single, block = conditions_of(toy())
    other = copy(single)
    row = other.bilevel_kkt.stationarity["lower.y"]
    assert other.bilevel_kkt.get_source(row) is other.lower.y
    assert other.bilevel_kkt.pairs[0].multiplier is not block.pairs[0].multiplier
    assert (
        other.bilevel_kkt.pairs[0].multiplier
        is other.bilevel_kkt.multiplier[block.pairs[0].source, block.pairs[0].side]
    )


def test_the_users_model_stays_as_it_is():
    m = toy()
    FACTORY.create_using(m)
    assert m.lower.ctype is LowerLevel
    assert m.lower.obj.active
    assert m.component("bilevel_kkt") is None


def test_in_place():
    m = toy()
    y = m.lower.y
    FACTORY.apply_to(m, complementarity=None)
    assert m.lower.ctype is pyo.Block
    assert not m.lower.obj.active
    assert m.find_component("lower.y") is y
    with pytest.raises(ModelError, match="no active LowerLevel"):
        FACTORY.apply_to(m)


@pytest.mark.parametrize("suffix", ["nl", "lp"])
@pytest.mark.parametrize("treatment", [None, "sos1", "scholtes"])
def test_writers_take_the_result(tmp_path, suffix, treatment):
    single = FACTORY.create_using(toy(), complementarity=treatment)
    single.write(str(tmp_path / f"model.{suffix}"))
    if suffix == "lp" and treatment == "sos1":
        assert "SOS" in (tmp_path / "model.lp").read_text()


def test_writers_refuse_the_model_before(tmp_path):
    with pytest.raises(ValueError, match="LowerLevel"):
        toy().write(str(tmp_path / "model.nl"))


@pytest.mark.parametrize("suffix", ["nl", "lp"])
def test_a_maximum_is_lifted(tmp_path, suffix):
    m = toy()
    m.top = pyo.Expression(expr=maximum([m.x, 3 - m.x, 1.0]))
    m.lower.obj.set_value((m.lower.y - m.top) ** 2)
    m.obj.set_value(m.x**2 + maximum([m.lower.y, m.top]) - maximum([m.x, m.lower.y]))
    single, block = conditions_of(m)
    single.write(str(tmp_path / f"model.{suffix}"))
    assert len(block.maximum) == 3
    assert len([p for p in block.pairs if p.source.startswith("maximum")]) == 3 + 2 + 2
    single.x.value, single.lower.y.value = 0.5, 1.0
    for top, weights in block.attained.items():
        pieces = [p for p in block.pairs if p.source == f"maximum[{top}]"]
        block.maximum[top].value = 0.0
        block.maximum[top].value = -min(pyo.value(p.slack) for p in pieces)
        for pair in pieces:
            pair.multiplier.value = 1.0 if abs(pyo.value(pair.slack)) < 1e-12 else 0.0
        assert pyo.value(weights.body) == 1.0
    assert pyo.value(single.obj.expr) == pytest.approx(0.25 + 2.5 - 1.0)


def test_a_minimum_is_the_negative_of_a_maximum():
    from pyomo.core.expr.numeric_expr import MinExpression

    m = toy()
    m.obj.set_value(MinExpression([m.x, m.lower.y]))
    single, block = conditions_of(m)
    single.x.value, single.lower.y.value, block.maximum[0].value = 3.0, 2.0, -2.0
    assert pyo.value(single.obj.expr) == 2.0
    assert sorted(pyo.value(p.slack) for p in block.pairs if p.source == "maximum[0]") == [0.0, 1.0]


def test_unlifted_maxima_stay():
    m = toy()
    m.obj.set_value(maximum([m.x, m.lower.y]))
    single, block = conditions_of(m, lift=False)
    assert block.component("maximum") is None
    assert pyo.value(single.obj.expr) == 2.0


def test_rows_over_x_alone_have_no_multiplier_and_still_hold():
    m = toy()
    m.lower.only_x = pyo.Constraint(expr=m.x <= 4)
    single, block = conditions_of(m)
    assert block.multipliers_of(single.lower.only_x) == {}
    assert single.lower.only_x.active


def test_fixed_variables_are_data():
    m = toy()
    m.lower.z = pyo.Var(bounds=(0, 1), initialize=0.5)
    m.lower.z.fix(0.5)
    m.lower.only_fixed = pyo.Constraint(expr=m.lower.z <= 0.7)
    m.lower.obj.set_value(m.lower.obj.expr + m.lower.z * m.lower.y)
    single, block = conditions_of(m)
    assert set(block.stationarity) == {"lower.y"}
    assert block.multipliers_of(single.lower.only_fixed) == {}


def test_a_stationarity_row_without_variables_is_kept():
    """min y without bounds: 1 = 0, so the follower has no optimum at any x."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var()
    m.lower.obj = pyo.Objective(expr=m.lower.y)
    m.obj = pyo.Objective(expr=m.x + m.lower.y)
    _, block = conditions_of(m)
    assert residuals(block) == [1.0]


def test_an_indexed_family_of_followers():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1), initialize=0.5)

    def build(b, k):
        b.y = pyo.Var(bounds=(0, 1))
        b.obj = pyo.Objective(expr=(b.y - k * m.x) ** 2)

    m.fold = LowerLevel([1, 2], rule=build)
    m.obj = pyo.Objective(expr=m.fold[1].y - m.fold[2].y)
    single, block = conditions_of(m)
    assert set(block.stationarity) == {"fold[1].y", "fold[2].y"}
    assert single.fold.ctype is pyo.Block
    assert single.fold[2].y.name == "fold[2].y"


def _integer(m):
    m.lower.y.domain = pyo.Integers


def _response(m):
    m.other = LowerLevel(response=lambda x: {"y": 1.0})
    m.other.y = pyo.Var()
    m.obj.set_value(m.obj.expr + m.other.y)


def _kink(m):
    m.lower.obj.set_value(-abs(m.lower.y - m.x))


def _taken(m):
    m.bilevel_kkt = pyo.Block()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_integer, r"lower\.y is integer.*search"),
        (_response, r"other answers by a Python function.*search"),
        (_kink, r"lower\.obj.*kink.*epigraph"),
        (_taken, "bilevel_kkt; rename it"),
    ],
)
def test_refusals_name_the_component_and_leave_the_model_alone(spoil, words):
    m = toy()
    spoil(m)
    with pytest.raises(BilevelError, match=words):
        FACTORY.apply_to(m)
    assert m.lower.ctype is LowerLevel
    assert m.lower.obj.active


def test_an_unknown_treatment_is_refused_before_anything_happens():
    m = toy()
    with pytest.raises(BilevelError, match="no treatment is called 'nonsense'"):
        FACTORY.apply_to(m, complementarity="nonsense")
    assert m.lower.ctype is LowerLevel


def test_refused_is_an_error_of_its_own():
    m = toy()
    _integer(m)
    with pytest.raises(RefusedError):
        FACTORY.create_using(m)
