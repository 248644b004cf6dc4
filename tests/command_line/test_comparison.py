"""Comparing: fair starts, refusals as rows, the best point left on the model, interruptions."""

from __future__ import annotations

import json
from dataclasses import fields

import pyomo.environ as pyo
import pytest

import bilevel.results.comparison
from bilevel import LowerLevel, compare
from bilevel.api import solving
from bilevel.contracts.finding import Termination, Verdict
from bilevel.contracts.search import Search
from bilevel.errors import ModelError, OptionError, RefusedError, UnknownNameError
from bilevel.registry import register
from bilevel.results.result import Result


@pytest.fixture
def model():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10), initialize=4.0)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, None))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x) ** 2)
    model.obj = pyo.Objective(expr=(model.x - 3) ** 2 + model.lower.y)
    return model


class Script:
    """Stands in for ``solved``: what each method finds, raises or is seen to be given."""

    def __init__(self, **outcomes):
        self.outcomes, self.calls, self.starts = outcomes, [], []

    def __call__(self, model, asked, observer):
        method = asked.method
        self.calls.append((method, asked.budget, asked.seed, asked.options))
        self.starts.append((model.x.value, model.lower.y.value))
        outcome = self.outcomes[method]
        if isinstance(outcome, BaseException):
            raise outcome
        value, verdict, *ended = outcome
        if value is not None:
            model.x.set_value(value, skip_validation=True)
            model.lower.y.set_value(value)
        return Result(method, verdict, ended[0] if ended else Termination.BUDGET, value, upper={"x": value})


@pytest.fixture
def script(monkeypatch):
    def play(**outcomes):
        played = Script(**outcomes)
        monkeypatch.setattr(solving, "solved", played)
        return played

    return play


BEST, SURE, NONE = Verdict.BEST_FOUND, Verdict.CERTIFIED_GLOBAL, Verdict.FAILED


def test_every_method_starts_from_the_same_values_and_the_best_stays(model, script):
    played = script(random=(3.0, BEST), grid=(2.0, BEST), rbf=(2.5, BEST))
    found = compare(model, "random, grid,rbf,grid", budget=7, seed=5)
    assert [r.method for r in found.results] == ["random", "grid", "rbf"]
    assert played.starts == [(4.0, None)] * 3
    assert {call[1:3] for call in played.calls} == {(7, 5)}
    assert found.best is found.results[1]
    assert (model.x.value, model.lower.y.value) == (2.0, 2.0)
    assert found.exact is None
    assert found.distance(found.results[0]) is None


def test_a_certified_point_stays_before_a_better_one(model, script):
    script(random=(1.0, BEST), kkt=(2.0, SURE), grid=(None, NONE))
    found = compare(model, ["random", "kkt", "grid"])
    assert found.exact == 2.0
    assert model.x.value == 2.0
    assert [found.distance(r) for r in found.results] == [-1.0, 0.0, None]


def test_in_a_maximising_leaders_sense(model, script):
    model.obj.sense = pyo.maximize
    script(random=(1.0, BEST), grid=(2.0, SURE))
    found = compare(model, ["random", "grid"])
    assert found.best is found.results[1]
    assert [found.distance(r) for r in found.results] == [1.0, 0.0]
    assert found.to_dict()["sense"] == "maximize"


def test_a_refusal_is_a_row_with_its_reason(model, script):
    script(kkt=RefusedError("not convex; take a search"), random=(2.0, BEST))
    found = compare(model, ["kkt", "random"])
    refused = found.results[0]
    assert (refused.verdict, refused.termination) == (Verdict.FAILED, Termination.ERROR)
    assert refused.notes == ["not convex; take a search"]
    assert "kkt: not convex; take a search" in str(found)


def test_where_all_refuse_for_one_reason_that_is_the_error(model, script):
    script(kkt=RefusedError("no"), random=RefusedError("no"))
    with pytest.raises(RefusedError, match="no"):
        compare(model, ["kkt", "random"])
    script(kkt=RefusedError("no"), random=RefusedError("never"))
    assert compare(model, ["kkt", "random"]).best is None
    assert model.x.value == 4.0


def test_an_interrupted_method_keeps_all_that_was_found(model, script):
    script(random=(3.0, BEST), grid=(2.0, BEST, Termination.INTERRUPTED), rbf=(1.0, BEST))
    found = compare(model, ["random", "grid", "rbf"])
    assert found.interrupted
    assert found.not_run == ["rbf"]
    assert [r.method for r in found.results] == ["random", "grid"]
    assert model.x.value == 2.0
    script(random=(3.0, BEST), grid=KeyboardInterrupt())
    found = compare(model, ["random", "grid"])
    assert (found.interrupted, found.not_run, model.x.value) == (True, ["grid"], 3.0)


def test_the_model_is_left_well_when_something_unforeseen_happens(model, script):
    script(random=(3.0, BEST), grid=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        compare(model, ["random", "grid"])
    assert model.x.value == 3.0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"methods": ["random", "rendom"]}, UnknownNameError),
        ({"methods": ["random"], "complementarity": "nothing"}, UnknownNameError),
        ({"methods": ["random"], "engine": "nothing"}, UnknownNameError),
        ({"methods": []}, OptionError),
        ({"methods": ["random", "grid"], "smapling": "sobol"}, OptionError),
    ],
)
def test_a_misspelt_name_is_found_before_any_method_runs(model, script, arguments, error):
    played = script(random=(3.0, BEST))
    with pytest.raises(error):
        compare(model, **arguments)
    assert not played.calls


def test_a_model_that_means_nothing_is_an_error(script):
    script(random=(3.0, BEST))
    with pytest.raises(ModelError, match="LowerLevel"):
        compare(pyo.ConcreteModel(), ["random"])


def test_options_go_to_the_methods_that_have_them(model, script, monkeypatch):
    played = script(random=(3.0, BEST), grid=(2.0, BEST), kkt=(2.0, SURE))
    compare(model, ["random", "grid", "kkt"], sampling="sobol")
    assert [call[3] for call in played.calls] == [{"sampling": "sobol"}, {}, {}]


def test_variants_of_one_search_are_rows_of_their_own(model, monkeypatch):
    for name in bilevel.registry.catalogue(Search):
        bilevel.registry.get(Search, name)  # a module is run once: what registers meanwhile would be lost afterwards
    monkeypatch.setitem(bilevel.registry._registered, Search, dict(bilevel.registry._registered[Search]))

    @register("family")
    class Family(Search):
        """Proposes one point."""

        def __init__(self, space, rng, budget, *, sampler: str = "a"):
            super().__init__(space, rng, budget)
            self.points = [(1.0 if sampler == "a" else 2.0,)]

        def ask(self, count=1):
            return [self.points.pop()] if self.points else []

    found = compare(model, ["family:a", "family:b"])
    assert [(r.method, r.upper["x"]) for r in found.results] == [("family:a", 1.0), ("family:b", 2.0)]


def test_what_auto_chose_is_named(model, monkeypatch):
    monkeypatch.setattr(solving, "solved", lambda *_, **__: Result("kkt", SURE, Termination.OPTIMALITY, 1.0))
    assert [r.method for r in compare(model, ["auto", "kkt"]).results] == ["auto: kkt", "kkt"]


def test_as_plain_values(model, tmp_path):
    found = compare(model, ["random", "grid"], budget=3, seed=1)
    read = json.loads(found.to_json(tmp_path / "out.json"))
    assert read == json.loads((tmp_path / "out.json").read_text())
    assert {field.name for field in fields(Result)} <= set(read["results"][0])
    assert len(read["results"][0]["history"]) == 3
    assert "<pre " in found._repr_html_()
    found.plot(tmp_path / "out.png")
    assert (tmp_path / "out.png").exists()
    pandas = pytest.importorskip("pandas")
    frame = found.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["method"]) == ["random", "grid"]
    assert {"upper_objective", "verdict", "distance", "seconds"} <= set(frame.columns)
