"""A front on the command line, in files and pictures; and what else refuses it."""

from __future__ import annotations

import json
import pickle

import pyomo.environ as pyo
import pytest
from front_cases import linear, three

import bilevel
from bilevel.command_line.main import main
from bilevel.errors import RefusedError

MODEL = """
import pyomo.environ as pyo
from bilevel import LowerLevel
model = pyo.ConcreteModel()
model.x = pyo.Var(bounds=(0, 4))
model.lower = LowerLevel()
model.lower.y = pyo.Var(bounds=(0, 9))
model.lower.near = pyo.Objective(expr=(model.lower.y - model.x) ** 2)
model.small = pyo.Objective(expr=model.lower.y)
model.large = pyo.Objective(expr=model.x - (model.lower.y - 1) ** 2 / 9, sense=pyo.maximize)
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "two.py").write_text(MODEL)
    return str(tmp_path / "two.py")


def test_one_method(file, tmp_path, capsys):
    written = {
        name: tmp_path / f"front.{ending}" for name, ending in (("json", "json"), ("plot", "png"), ("report", "html"))
    }
    options = [text for name, path in written.items() for text in (f"--{name}", str(path))]
    assert main([file, "--method", "random", "--budget", "20", *options]) == 0
    shown = capsys.readouterr().out
    assert "min small" in shown
    assert "max large" in shown
    assert "reference point 1.1" in shown
    plain = json.loads(written["json"].read_text())
    assert len(plain["front"]) > 3
    assert plain["senses"] == {"small": "minimize", "large": "maximize"}
    assert plain["history"][0]["upper_objective"] is None
    assert plain["history"][0]["upper_objectives"].keys() == {"small", "large"}
    page = written["report"].read_text()
    assert "Front (" in page
    assert 'onclick="sortBy(this)">max large' in page
    assert written["plot"].read_bytes().startswith(b"\x89PNG")


def test_several_methods_and_options(file, tmp_path, capsys):
    assert (
        main(
            [
                file,
                "--compare",
                "kkt,random",
                "--budget",
                "10",
                "--option",
                "points=3",
                "--json",
                str(tmp_path / "c.json"),
            ]
        )
        == 0
    )
    assert "hypervolume" in capsys.readouterr().out
    plain = json.loads((tmp_path / "c.json").read_text())
    assert len(plain["results"][0]["front"]) == 3
    assert plain["results"][0]["hypervolume"] > 0


def test_what_takes_one_objective_says_so(file, capsys):
    assert main([file, "--explain"]) == 2
    assert "2 active Objectives (small, large); deactivate all but one" in capsys.readouterr().err
    assert main([file, "--write", "single.lp"]) == 2
    assert main([file, "--method", "rbf"]) == 2
    with pytest.raises(RefusedError, match="several upper objectives"):
        pyo.SolverFactory("bilevel").solve(linear())
    with pytest.raises(RefusedError, match="pruner goes by one upper objective"):
        bilevel.solve(linear(), "random", budget=5, pruner="race")
    with pytest.raises(RefusedError, match="repeats goes by one upper objective"):
        bilevel.solve(linear(), "random", budget=5, repeats=2)


def test_a_result_travels_and_its_frame_has_a_row_per_point():
    found = bilevel.solve(three(), "random", budget=12, seed=1)
    again = pickle.loads(pickle.dumps(found))
    assert [point.upper for point in again.front] == [point.upper for point in found.front]
    frame = found.to_frame()
    assert len(frame) == len(found.front)
    assert {"first", "second", "third", "verdict", "x[0]"} <= set(frame.columns)
    assert found.plot().axes  # pairs and parallel coordinates


def test_what_is_reported_once_is_read_at_the_compromise():
    model = linear()
    bilevel.report_once("twice", 2 * model.x[1])
    found = bilevel.solve(model, "random", budget=8, seed=1)
    assert found.reported == {"twice": pytest.approx(2 * found.upper["x[1]"])}
