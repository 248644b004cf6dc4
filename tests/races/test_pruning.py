"""Evaluations that are stopped early: by whom, on what, and that no answer is a stopped one."""

from __future__ import annotations

import json
import math
import warnings

import optuna
import pyomo.environ as pyo
import pytest
from histories import StopAt, told
from training import STEPS, train, trained

import bilevel
from bilevel import LowerLevel, registry
from bilevel.contracts.pruner import Pruner, named
from bilevel.errors import OptionError
from bilevel.language.trials.trial import Terms, Trial
from bilevel.solvers.pruners.curves import Curve
from bilevel.solvers.pruners.rungs import RungJudge

PRUNERS = [name for name in registry.catalogue(Pruner) if name != "race"]


@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_pruner_spares_work_and_the_answer_is_a_point_that_came_to_its_end(pruner):
    whole = bilevel.solve(trained(), "random", budget=30, seed=1)
    result = bilevel.solve(trained(), "random", budget=30, seed=1, pruner=pruner)
    assert result.verdict == "best_found"
    assert result.upper_objective == whole.upper_objective  # these curves never cross
    assert [e.point for e in result.history] == [e.point for e in whole.history]
    assert result.saved["pruned"] == sum(e.pruned for e in result.history) > 5
    assert result.saved["spared"] == sum(STEPS - e.reports[-1][0] for e in result.history if e.pruned)
    assert not result.failures
    best = min((e for e in result.history if e.feasible), key=lambda e: e.cost)
    assert len(best.reports) == STEPS
    assert all(e.estimate >= best.cost or e.index < best.index for e in result.history if e.pruned)
    assert "points were pruned" in str(result)
    plain = json.loads(result.to_json())
    assert plain["saved"]["unit"] == "steps"
    assert [row["pruned"] for row in plain["history"]] == [e.pruned for e in result.history]
    assert plain["history"][0]["reports"][0][0] == 1


@pytest.mark.parametrize("method", ["surrogate", "optuna:tpe", "de"])
def test_a_search_goes_on_from_what_was_pruned(method):
    result = bilevel.solve(trained(), method, budget=24, seed=3, pruner="hyperband")
    assert any(e.pruned for e in result.history)
    assert not result.history[result.history.index(max(result.history, key=lambda e: e.feasible))].pruned
    assert math.hypot(result.upper["a"] - 0.3, result.upper["b"] - 0.6) < 0.35


def test_the_median_is_optunas():
    ours = bilevel.solve(trained(), "random", budget=25, seed=5, pruner="median(startup=3, warmup=2, interval=2)")
    theirs = optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2, interval_steps=2)
    other = bilevel.solve(trained(), "random", budget=25, seed=5, pruner=theirs)
    assert [e.reports for e in ours.history] == [e.reports for e in other.history]
    assert any(e.pruned for e in ours.history)


def test_a_loop_written_for_optuna_moves_over():
    def loop(x, trial):
        for step in range(STEPS):
            score = 1 - (x["a"] - 0.3) ** 2 - 1 / (step + 1)
            trial.report(score, step)
            if trial.should_prune():
                raise optuna.TrialPruned()
        return {"loss": score}

    result = bilevel.solve(trained(loop, pyo.maximize), "random", budget=25, seed=1, pruner="median")
    best = max(e.upper_objective for e in result.history if e.feasible)
    pruned = [e for e in result.history if e.pruned]
    assert pruned
    assert all(e.reports[-1][1] < best for e in pruned)
    assert result.upper_objective == best


def test_a_study_goes_on_as_if_it_had_not_stopped(tmp_path):
    whole = bilevel.solve(trained(), "surrogate", budget=16, seed=2, pruner="halving", study=f"{tmp_path}/whole.db")
    bilevel.solve(
        trained(), "surrogate", budget=16, pruner="halving", seed=2, study=f"{tmp_path}/s.db", observer=StopAt(9)
    )
    again = bilevel.solve(trained(), "surrogate", budget=16, seed=2, pruner="halving", study=f"{tmp_path}/s.db")
    assert told(again) == told(whole)
    with pytest.raises(bilevel.BilevelError, match="pruner halving there"):
        bilevel.solve(trained(), "surrogate", budget=16, seed=2, pruner="median", study=f"{tmp_path}/s.db")


def test_an_object_of_optunas_is_the_same_pruner_in_the_next_run(tmp_path):
    def run(budget):
        pruner = optuna.pruners.SuccessiveHalvingPruner()
        return bilevel.solve(trained(), "random", budget=budget, seed=2, pruner=pruner, study=f"{tmp_path}/s.db")

    run(6)
    assert run(9).evaluations == 9
    theirs = optuna.pruners.SuccessiveHalvingPruner()
    first, second = (bilevel.solve(trained(), "random", budget=9, seed=2, pruner=theirs) for _ in range(2))
    assert told(first) == told(second)


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["hyperband", "optuna(kind='median')"])
def test_workers_decide_by_what_was_told_when_a_point_was_sent(pruner):
    runs = [
        bilevel.solve(trained(), "random", budget=20, seed=1, pruner=pruner, workers=2, observer=None) for _ in range(2)
    ]
    assert told(runs[0]) == told(runs[1])
    assert any(e.pruned for e in runs[0].history)


def test_rungs_keep_the_best_third():
    part = registry.get(Pruner, "halving")(1, 0, least=3)
    for k, loss in enumerate([0.5, 0.9, 0.1, 0.7, 0.3]):
        judge = part.judge(k)
        reports = tuple((step, loss + 1 / step) for step in range(1, 4))
        assert not judge.prunes(reports[:2])  # the first rung is at step 3
        part.tell(_evaluation(k, reports, loss, judge.prunes(reports)))
    told_ = part.judge(9).told
    assert [curve.number for curve in told_ if curve.complete] == [
        0,
        2,
    ]  # each the best of all so far, then the best third


def _evaluation(index, reports, cost, pruned):
    from bilevel.programs.answer import Status
    from bilevel.upper.archive import Evaluation

    status = Status.PRUNED if pruned else Status.OPTIMAL
    return Evaluation(index, (float(index),), {}, status=status, cost=math.nan if pruned else cost, reports=reports)


def test_what_a_stopped_point_may_come_to():
    done = (Curve(0, (1.0, 2.0), (3.0, 2.0), 1.0), Curve(1, (1.0, 2.0), (5.0, 3.0), 2.0))
    assert RungJudge(1, done, 1.0, 3).expected(((1, 6.0),)) == 3.5  # the others gained 2 and 3 from there
    assert RungJudge(1, done, 1.0, 3).expected(((1, 2.0),)) == 1.0  # no better than the best that was seen
    assert RungJudge(-1, done, 1.0, 3).expected(((1, -6.0),)) == 3.5


@pytest.mark.parametrize(
    ("pruner", "match"),
    [
        ("hyperbnd", "Optuna has"),
        ("hyperband(factr=3)", "takes least, most, factor"),
        ("hyperband(factor=1)", "one of 2 or more"),
        ("median(3)", "write a name"),
        ("threshold", None),
        (7, "an instance"),
    ],
)
def test_a_wrong_pruner_is_told_what_there_is(pruner, match):
    with pytest.raises(OptionError, match=match):
        bilevel.solve(trained(), "random", budget=2, pruner=pruner)


def test_a_pruner_without_reports_is_refused_with_the_cure():
    with pytest.raises(OptionError, match=r"f\(x, trial\)"):
        bilevel.solve(trained(lambda x: {"loss": x["a"]}), "random", budget=2, pruner="median")


def test_two_curves_are_none():
    model = trained()
    model.other = LowerLevel(response=train)
    model.other.loss = pyo.Var()
    with pytest.raises(OptionError, match="net, other all take a trial"):
        bilevel.solve(model, "random", budget=2, pruner="median")


def test_a_trial_offers_no_space_of_its_own():
    def loop(x, trial):
        return {"loss": trial.suggest_float("a", 0, 1)}

    result = bilevel.solve(trained(loop), "random", budget=2)
    assert "x['name']" in result.history[0].message


def test_all_that_was_pruned_is_no_answer():
    def loop(x, trial):
        trial.report(1.0, 1)
        raise bilevel.TrialPruned

    result = bilevel.solve(trained(loop), "random", budget=3)
    assert result.verdict == "failed"
    assert any("pruned before it came to an answer" in note for note in result.notes)


def test_a_family_is_given_its_trial_last():
    model = pyo.ConcreteModel()
    model.a = pyo.Var(bounds=(0, 1))

    def fold(x, k, trial):
        return {"loss": (x["a"] - k) ** 2 + 0 * trial.number}

    model.fold = LowerLevel([0, 1], response=fold, rule=lambda b, k: b.add_component("loss", pyo.Var()))
    model.obj = pyo.Objective(expr=sum(model.fold[k].loss for k in (0, 1)))
    result = bilevel.solve(model, "grid", budget=5)
    assert result.upper["a"] == 0.5


def test_reports_are_numbers_at_rising_steps():
    trial = Trial(Terms())
    trial.report(1, 0)
    trial.report(2.0, 0)  # again the same step: ignored, as in Optuna
    trial.report(math.nan, 3)
    assert trial.reports[0] == (0, 1.0)
    assert len(trial.reports) == 2
    assert not trial.should_prune()
    with pytest.raises(bilevel.BilevelError, match="takes a number"):
        trial.report("good", 1)
    with pytest.raises(bilevel.BilevelError, match="counted from"):
        trial.report(1.0, -1)


def test_names_and_options_of_pruners():
    assert named("asha") == ("halving", {})
    assert named("hyperband(factor=4, least=2)") == ("hyperband", {"factor": 4, "least": 2})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bilevel.solve(trained(), "random", budget=2, pruner="nop").evaluations == 2


def test_points_that_were_stopped_without_a_proof_prove_nothing():
    """The whole space is proposed, and some of it is stopped by the median: neither an enumeration nor a local optimum."""
    model = trained()
    for var in (model.a, model.b):
        bilevel.discretize(var, levels=5)
    result = bilevel.solve(model, "random", budget=25, seed=1, pruner="median(startup=2)")
    assert any(e.pruned for e in result.history)
    assert result.verdict == "best_found"
    assert not any("locally optimal" in note or "proof" in note for note in result.notes)
