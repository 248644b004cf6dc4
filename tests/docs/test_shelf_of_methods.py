"""Every row of the shelf: its command parses, its words are there, and its method solves a problem of known answer."""

import json
import shlex
import sys

import pyomo.environ as pyo
import pytest
from pages import ROOT

import bilevel
from bilevel import LowerLevel
from bilevel.command_line.parser import make_parser

sys.path.insert(0, str(ROOT / "docs" / "tools"))
from shelf_rows import ROWS

BUDGETS = {"front": 60, "states": 8, "gradient": 20}
DEAR = {"gp": 20, "surrogate": 20, "rbf": 30}  # what asks with care gets there with few
STEPS = 9


def bowl(x):
    return {"loss": (x["a"] - 0.3) ** 2 + (x["b"] - 0.6) ** 2}


def reporting(x, trial):
    for step in range(1, STEPS + 1):
        loss = bowl(x)["loss"] + 1 / step - 1 / STEPS
        trial.report(loss, step)
        if trial.should_prune():
            raise bilevel.TrialPruned
    return {"loss": loss}


def going_on(x, state, steps):
    """Steps down a valley whose best rate is 1/2: w goes to 0 at once."""
    w = 1.0 if state is None else state
    for _ in range(steps):
        w -= 2 * x["a"] * w
    return {"loss": w**2 + (x["b"] - 0.6) ** 2}, w


def problem(kind):
    model = pyo.ConcreteModel()
    model.a = pyo.Var(bounds=(0, 1))
    model.b = pyo.Var(bounds=(0, 1))
    if kind in ("gradient", "kkt"):
        model.lower = LowerLevel()
        model.lower.y = pyo.Var(bounds=(None if kind == "gradient" else 0, None))
        model.lower.obj = pyo.Objective(expr=(model.lower.y - model.a) ** 2)
        model.obj = pyo.Objective(expr=(model.lower.y - 0.3) ** 2 + (model.b - 0.6) ** 2)
        return model
    function = {"reports": reporting, "states": going_on}.get(kind, bowl)
    model.lower = LowerLevel(response=function, **({"steps": STEPS} if kind == "states" else {}))
    model.lower.loss = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.loss)
    if kind == "front":
        model.other = pyo.Objective(expr=model.a)
    return model


def solved(row, tmp_path):
    """As the command line would; workers are one process here, so as not to wait for them."""
    words = shlex.split(row.command)
    asked = make_parser().parse_args(["model.py", *words])
    tried = []
    if asked.enqueue:
        (tmp_path / "mine.json").write_text(json.dumps({"a": 0.3, "b": 0.6}))
        tried = [json.loads((tmp_path / asked.enqueue[0]).read_text())]
    return bilevel.solve(
        problem(row.kind),
        asked.method,
        budget=asked.budget or BUDGETS.get(row.kind, DEAR.get(asked.method, 40)),
        pruner=asked.pruner,
        enqueue=tried,
        seed=1,
        **dict(asked.option),
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_its_method_solves_a_problem_of_known_answer(row, tmp_path):
    result = solved(row, tmp_path)
    if row.kind == "front":  # losses of 0.09 at a = 0 and 0 at a = 0.3
        ends = [min(point.upper_objectives[name] for point in result.front) for name in ("obj", "other")]
        assert ends[0] < 0.02
        assert ends[1] < 0.05
        return
    assert result.verdict.holds_a_point
    assert result.upper_objective < 0.02, "1 per cent of the box is that near the best point"


def test_each_row_says_when_not_to_take_it():
    assert all(row.needs and row.not_when and row.command.startswith("--method ") for row in ROWS)
    page = (ROOT / "docs" / "shelf.md").read_text(encoding="utf-8")
    assert all(f"### {row.name}\n" in page for row in ROWS)
    assert "Take it** ." not in page
