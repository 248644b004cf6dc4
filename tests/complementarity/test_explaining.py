"""A model explained: every component of it is named, and what is said is true."""

from __future__ import annotations

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.command_line.main import main
from bilevel.contracts.treatment import Treatment
from bilevel.files.model_files import load_model
from bilevel.registry import catalogue


def coupled() -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4))
    model.k = pyo.Var(within=pyo.Set(initialize=[1, 2, 5]))
    model.budget = pyo.Constraint(expr=model.x + model.k <= 6)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, None))
    model.lower.cap = pyo.Constraint(expr=model.lower.y <= model.x)
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.k) ** 2)
    model.share = pyo.Constraint(expr=model.lower.y <= 3)
    model.obj = pyo.Objective(expr=model.x - 2 * model.lower.y, sense=pyo.maximize)
    return model


def test_every_component_is_named():
    text = bilevel.explain(coupled())
    for name in ("x", "k", "budget", "share", "obj", "lower", "lower.y", "lower.cap", "lower.obj"):
        assert name in text.replace(",", " ").split() or name in text, name
    assert "upper level: maximise obj" in text
    assert "1 over x alone, 1 coupling" in text
    assert "1 of a list of values" in text
    assert "depends on   k, x" in text or "depends on   x, k" in text
    assert "convexity    proved" in text
    assert "class        QP" in text
    assert "answered by  daqp" in text


def test_every_pair_and_every_row_is_listed_with_its_origin():
    model = load_model("bard", {})
    single = pyo.TransformationFactory("bilevel.kkt").create_using(model)
    text = bilevel.explain(model)
    for pair in single.bilevel_kkt.pairs:
        assert f"{pair.source} {pair.side}:" in text
    for row in single.component_data_objects(pyo.Constraint, active=True, descend_into=True):
        assert f"  {row.name}  <-  " in text
    assert "no better answer by moving lower.y" in text
    assert "solved by scip" in text


def test_proved_bounds_are_shown_with_their_proofs():
    text = bilevel.explain(load_model("bard", {}), "big_m")
    assert "(basic multipliers)" in text
    assert "(linear program)" in text
    assert "solved by highs" in text


@pytest.mark.parametrize("name", ["none", *catalogue(Treatment)])
def test_any_treatment_can_be_explained(name):
    text = bilevel.explain(load_model("bard", {}), name)
    assert f"treated by {name}:" in text
    assert "complementarity pairs: 6" in text


def test_a_long_list_is_cut_and_says_so():
    assert "and 4 more" in bilevel.explain(load_model("bard", {}), shown=2)


def test_what_has_no_single_level_model_is_explained_all_the_same():
    text = bilevel.explain(load_model("moore_bard", {}))
    assert "convexity    refuted" in text
    assert "there is none. lower.y is integer" in text


def test_a_response_function_is_explained():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel(response=lambda upper: {"y": upper["x"]})
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    assert "answered by a Python function" in bilevel.explain(model)


def test_the_model_stays_as_it_is():
    model = coupled()
    bilevel.explain(model)
    assert model.component("bilevel_kkt") is None
    assert model.lower.ctype is LowerLevel


def test_the_command_explains_and_solves_nothing(capsys):
    assert main(["bard", "--explain", "--complementarity", "big_m"]) == 0
    out = capsys.readouterr().out
    assert "single-level model: MILP" in out
    assert "verdict" not in out
