"""Which method takes the pessimistic attitude, and what the others say."""

import json

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.command_line.main import main
from bilevel.convexity.uniqueness import not_unique
from bilevel.errors import OptionError, RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem

TOLL = """\
import pyomo.environ as pyo
from bilevel import LowerLevel
model = pyo.ConcreteModel()
model.x = pyo.Var(within=pyo.RangeSet(0, 1, 0.25))
model.lower = LowerLevel()
model.lower.y = pyo.Var(bounds=(-1, 1))
model.lower.obj = pyo.Objective(expr=model.x * model.lower.y)
model.obj = pyo.Objective(expr=model.x + model.lower.y)
"""


def create(objective, within=pyo.Reals, upper=lambda y, x: y[1] + y[2] + x):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([1, 2], bounds=(-3, 3), within=within)
    model.lower.obj = pyo.Objective(expr=objective(model.lower.y, model.x))
    model.obj = pyo.Objective(expr=upper(model.lower.y, model.x))
    return model


UNIQUE = {
    "constant Hessian": lambda y, x: (y[1] - x) ** 2 + (y[2] + x - 1) ** 2,
    "Hessian affine in x": lambda y, x: (y[1] - x) ** 2 + (x + 0.1) * (y[2] - 1) ** 2,
    "curved": lambda y, x: pyo.exp(y[1]) + pyo.exp(-x * y[2]) + y[2] ** 2,
}
TIED = {
    "linear": lambda y, x: x * y[1] + y[2],
    "singular": lambda y, x: (y[1] + y[2] - x) ** 2,
    "singular at an end": lambda y, x: (y[1] - x) ** 2 + x * (y[2] - 1) ** 2,
    "flat": lambda y, x: (y[1] - x) ** 4 + y[2] ** 2,
}


@pytest.mark.parametrize("name", UNIQUE)
def test_strong_convexity_is_proved(name):
    assert not_unique(Compilation(Problem.read(create(UNIQUE[name])))) == {}


@pytest.mark.parametrize("name", TIED)
def test_what_may_have_several_optima_is_not_called_unique(name):
    assert list(not_unique(Compilation(Problem.read(create(TIED[name]))))) == ["lower"]


def test_a_follower_the_leader_does_not_look_at_need_not_be_unique():
    model = create(TIED["linear"], upper=lambda y, x: x)
    assert not_unique(Compilation(Problem.read(model))) == {}


@pytest.mark.parametrize("method", ["kkt", "rational", "auto"])
def test_the_attitudes_agree_where_the_answer_is_unique(method):
    model = create(lambda y, x: (y[1] - x) ** 2 + (y[2] + x - 1) ** 2 + y[2] ** 2)
    if method != "kkt":
        model.lower.y.setlb(None)
        model.lower.y.setub(None)
    optimist = bilevel.solve(model, method)
    pessimist = bilevel.solve(model, method, attitude="pessimistic")
    assert optimist.verdict == pessimist.verdict == "certified_global"
    assert pessimist.upper_objective == pytest.approx(optimist.upper_objective, abs=1e-6)


@pytest.mark.parametrize("method", ["kkt", "value_function", "mixed_integer"])
@pytest.mark.parametrize("within", [pyo.Reals, pyo.Integers])
def test_exact_paths_refuse_ties_and_say_why(method, within):
    model = create(TIED["flat"], within)
    why = r"pessimistic.*lower (has integer|is not proved).*use method='auto'"
    with pytest.raises(RefusedError, match=why if method != "kkt" or within is pyo.Reals else "is integer"):
        bilevel.solve(model, method, attitude="pessimistic")


def test_auto_goes_on_to_the_search_and_keeps_the_reasons():
    model = create(lambda y, x: y[1] ** 4 + y[1] ** 2 + 0 * x, upper=lambda y, x: x + y[2])
    model.x.domain = pyo.RangeSet(0, 1, 0.25)
    result = bilevel.solve(model, attitude="pessimistic")
    assert result.verdict in ("best_found", "certified_global")  # y2 is free: F = x + 3
    assert result.upper_objective == pytest.approx(3)
    assert any("kkt" in note and "pessimistic" in note for note in result.notes)


def test_a_response_function_gives_the_one_answer_it_gives():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(within=pyo.RangeSet(0, 1, 0.5))
    model.lower = LowerLevel(response=lambda x: {"y": 1 - x["x"]})
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y + 0.5 * model.x)
    found = [bilevel.solve(model, "grid", attitude=attitude).upper_objective for attitude in bilevel_attitudes()]
    assert found[0] == found[1] == 0.5


def bilevel_attitudes():
    from bilevel.language.attitude import Attitude

    return list(Attitude)


def test_an_unknown_attitude_lists_the_two():
    with pytest.raises(OptionError, match="optimistic and pessimistic"):
        bilevel.solve(create(UNIQUE["constant Hessian"]), attitude="realistic")


def test_compare_and_the_pyomo_solver_pass_it_on():
    model = create(TIED["linear"])
    model.x.domain = pyo.RangeSet(0, 1, 0.25)
    table = bilevel.compare(model, ["kkt", "grid"], attitude="pessimistic")
    assert [r.verdict for r in table.results] == ["certified_global", "certified_global"]
    assert [r.upper_objective for r in table.results] == pytest.approx([-5.75, -5.75])
    found = pyo.SolverFactory("bilevel").solve(model, method="grid", attitude="pessimistic")
    assert found.bilevel.upper_objective == pytest.approx(-5.75)


def test_the_command_line_takes_it(tmp_path, capsys):
    file = tmp_path / "toll.py"
    file.write_text(TOLL, encoding="utf-8")
    values = {}
    for attitude in ("optimistic", "pessimistic"):
        assert main([str(file), "--method", "grid", "--attitude", attitude, "--quiet", "--json", "-"]) == 0
        values[attitude] = json.loads(capsys.readouterr().out)["upper_objective"]
    assert values == {"optimistic": pytest.approx(-1), "pessimistic": pytest.approx(-0.75)}
    assert main([str(file), "--attitude", "gloomy"]) == 2
    assert "pessimistic" in capsys.readouterr().err
