"""``dual_of``: its sign in every form a row may take, where it lives, and what is refused."""

import pickle

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, dual_of
from bilevel.errors import ModelError
from bilevel.reading.problem import Problem
from bilevel.response.response import Response

FORMS = {
    # y >= r in every way Pyomo takes it; the right-hand side is r, or -r where the row is multiplied by -1
    ">=": (lambda y, r: y >= r, 1),
    "<= times -1": (lambda y, r: -y <= -r, -1),
    "equality": (lambda y, r: y == r, 1),
    "equality times -1": (lambda y, r: -y == -r, -1),
    "range": (lambda y, r: (r, y, 9), 1),
    "range times -1": (lambda y, r: (-9, -y, -r), -1),
}


def create(form, rhs, sense=pyo.minimize, quadratic=True):
    """The follower pays y^2 (or 3 y) and must have y >= r: f* = r^2, hence df*/dr = 2 r; as a maximiser f* = -r^2."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1), initialize=0)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(-20, 20))
    model.lower.row = pyo.Constraint(expr=FORMS[form][0](model.lower.y, rhs))
    cost = model.lower.y**2 if quadratic else 3 * model.lower.y
    model.lower.obj = pyo.Objective(expr=cost if sense == pyo.minimize else -cost, sense=sense)
    model.obj = pyo.Objective(expr=dual_of(model.lower.row) + model.x)
    return model


def optimum(form, rhs, sense, quadratic):
    """The follower's optimal objective in its own sense, with the form's own right-hand side moved by the caller."""
    return Response(create(form, rhs, sense, quadratic))([0.0]).lower[0] * (1 if sense == pyo.minimize else -1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("quadratic", [True, False])
def test_the_sign_is_that_of_the_derivative(form, sense, quadratic):
    sign, step = FORMS[form][1], 1e-4
    slope = sign * (optimum(form, 2 + step, sense, quadratic) - optimum(form, 2 - step, sense, quadratic)) / (2 * step)
    reply = Response(create(form, 2, sense, quadratic))([0.0])
    assert reply.cost == pytest.approx(slope, abs=1e-5)
    assert reply.cost == pytest.approx(sign * (4 if quadratic else 3) * (1 if sense == pyo.minimize else -1))
    assert reply.proved


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_the_optimality_conditions_have_the_same_sign(form, sense):
    searched = Response(create(form, 2, sense))([0.0]).cost
    result = bilevel.solve(create(form, 2, sense), "kkt")
    assert result.upper_objective == pytest.approx(searched, abs=1e-5)
    assert result.verdict == "certified_global"


def test_an_idle_constraint_has_the_multiplier_zero():
    model = create(">=", -5)
    reply = Response(model)([0.0])
    assert (reply.cost, reply.proved) == (0.0, True)


def test_it_agrees_with_the_solvers_duals():
    """HiGHS through Pyomo, on a linear follower with a <=, a >= and an equality row."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    y = model.lower.y = pyo.Var([1, 2, 3], bounds=(0, 10))
    model.lower.up = pyo.Constraint(expr=y[1] + 2 * y[2] <= 8)
    model.lower.low = pyo.Constraint(expr=y[1] + y[3] >= 1)
    model.lower.same = pyo.Constraint(expr=y[2] - y[3] == 1)
    model.lower.obj = pyo.Objective(expr=-y[1] - 3 * y[2] + 4 * y[3])
    rows = [model.lower.up, model.lower.low, model.lower.same]
    model.obj = pyo.Objective(expr=sum(10**k * dual_of(row) for k, row in enumerate(rows)))
    reply = Response(model)([0.0])
    ours = reply.y[3:]

    plain = pyo.ConcreteModel()
    plain.y = pyo.Var([1, 2, 3], bounds=(0, 10))
    y = plain.y
    plain.up = pyo.Constraint(expr=y[1] + 2 * y[2] <= 8)
    plain.low = pyo.Constraint(expr=y[1] + y[3] >= 1)
    plain.same = pyo.Constraint(expr=y[2] - y[3] == 1)
    plain.obj = pyo.Objective(expr=-y[1] - 3 * y[2] + 4 * y[3])
    plain.dual = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    pyo.SolverFactory("appsi_highs").solve(plain)
    assert ours == pytest.approx([plain.dual[row] for row in (plain.up, plain.low, plain.same)])


def test_the_same_variable_at_every_call_and_no_decision_of_either_level():
    model = create(">=", 2)
    dual = dual_of(model.lower.row)
    assert dual is dual_of(model.lower.row)
    problem = Problem.read(model)
    assert [v.name for v in problem.variables] == ["x"]
    assert [v.name for v in problem.followers[0].variables] == ["lower.y"]
    assert [m.variable for m in problem.multipliers] == [dual]


def test_what_nobody_mentions_is_left_alone():
    model = create(">=", 2)
    model.obj.set_value(model.x)
    assert Problem.read(model).multipliers == ()


@pytest.mark.parametrize(
    "copied", [lambda m: m.clone(), lambda m: pickle.loads(pickle.dumps(m))], ids=["clone", "pickle"]
)
def test_it_survives_copying(copied):
    model = create(">=", 2)
    copy = copied(model)
    (multiplier,) = Problem.read(copy).multipliers
    assert multiplier.constraint is copy.lower.row
    assert multiplier.variable is dual_of(copy.lower.row) is not dual_of(model.lower.row)
    assert Response(copy)([0.0]).cost == pytest.approx(4)


def test_members_of_indexed_constraints_and_followers():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))

    def build(block, k):
        block.y = pyo.Var([1, 2], bounds=(-20, 20))
        block.inner = pyo.Block()
        block.inner.row = pyo.Constraint([1, 2], rule=lambda _, j: block.y[j] >= k * j)
        block.obj = pyo.Objective(expr=block.y[1] ** 2 + block.y[2] ** 2)

    model.lower = LowerLevel(["1", "2"], rule=lambda b, k: build(b, int(k)))
    model.obj = pyo.Objective(
        expr=dual_of(model.lower["2"].inner.row[2]) + 100 * dual_of(model.lower["1"].inner.row[1])
    )
    reply = Response(model)([0.0])
    assert reply.cost == pytest.approx(2 * 4 + 100 * 2)
    assert bilevel.solve(model, "kkt").upper_objective == pytest.approx(208, abs=1e-4)


def test_writers_still_refuse_the_model(tmp_path):
    with pytest.raises((ValueError, RuntimeError), match="lower"):
        create(">=", 2).write(str(tmp_path / "model.lp"))


def test_the_transformed_model_is_ordinary(tmp_path):
    single = pyo.TransformationFactory("bilevel.kkt").create_using(create(">=", 2), complementarity=None)
    single.write(str(tmp_path / "model.nl"))
    assert len(single.bilevel_kkt.dual) == 1


def test_what_has_no_multiplier_is_refused_with_the_cure():
    model = create(">=", 2)
    model.above = pyo.Constraint(expr=model.x >= 0)
    model.lower.rows = pyo.Constraint([1], rule=lambda b, k: b.y >= k)
    with pytest.raises(ModelError, match="above belongs to no LowerLevel"):
        dual_of(model.above)
    with pytest.raises(ModelError, match="name a member"):
        dual_of(model.lower.rows)
    model.lower.row.deactivate()
    with pytest.raises(ModelError, match=r"lower\.row.*activate"):
        Problem.read(model)


def test_an_integer_follower_has_none():
    model = create(">=", 2)
    model.lower.y.domain = pyo.Integers
    with pytest.raises(ModelError, match=r"dual_of\(lower\.row\).*integer"):
        Problem.read(model)


def test_a_row_over_x_alone_has_none():
    model = create(">=", 2)
    model.lower.leader = pyo.Constraint(expr=model.x <= 0.5)
    model.obj.set_value(dual_of(model.lower.leader))
    with pytest.raises(ModelError, match="mentions no variable of lower"):
        Problem.read(model)


def test_a_follower_may_not_use_one():
    model = create(">=", 2)
    model.other = LowerLevel()
    model.other.z = pyo.Var(bounds=(0, 1))
    model.other.obj = pyo.Objective(expr=model.other.z * dual_of(model.lower.row))
    with pytest.raises(ModelError, match="other mentions dual_of"):
        Problem.read(model)
