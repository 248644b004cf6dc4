"""Our search as a sampler of Optuna's: mixed, conditional and constrained objectives, through ``study.optimize``."""

from __future__ import annotations

import math

import optuna
import pytest

from bilevel.optuna import SurrogateSampler


@pytest.fixture(autouse=True)
def quiet():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


def mixed(trial):
    """0 at x = 1, n = 4, s = 0.5, no kind and a rate of 0.01; a branch has a parameter of its own."""
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    value = (trial.suggest_float("x", -5, 5) - 1) ** 2 + (trial.suggest_int("n", 1, 9) - 4) ** 2
    value += (trial.suggest_float("s", 0, 1, step=0.25) - 0.5) ** 2 + (math.log10(rate) + 2) ** 2
    kind = trial.suggest_categorical("kind", ["a", None, 3])
    value += kind is not None
    return value + trial.suggest_float("more", 0, 1) if kind == "a" else value


def optimized(objective, trials, **more):
    study = optuna.create_study(sampler=SurrogateSampler(seed=1, **more.pop("sampler", {})), **more)
    study.optimize(objective, n_trials=trials)
    return study


def test_a_mixed_objective_with_a_branch_is_solved_as_tpe_does_not():
    ours = optimized(mixed, 40)
    assert ours.best_value < 0.05
    assert ours.best_params["kind"] is None
    tpe = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    tpe.optimize(mixed, n_trials=40)
    assert ours.best_value < tpe.best_value
    again = optimized(mixed, 40)
    assert [trial.params for trial in again.trials] == [trial.params for trial in ours.trials]


def test_what_is_maximised_constrained_pruned_or_failed_is_learned():
    def objective(trial):
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        trial.report(x + 2 * y, 0)
        if trial.number == 3:
            raise optuna.TrialPruned
        if trial.number == 5:
            raise ValueError("not this one")
        trial.set_user_attr("excess", x + y - 1.0)
        return x + 2 * y

    sampler = SurrogateSampler("rbf", seed=1, constraints_func=lambda trial: (trial.user_attrs.get("excess", 0.0),))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=40, catch=ValueError)
    kept = [t for t in study.trials if t.state is optuna.trial.TrialState.COMPLETE and t.user_attrs["excess"] <= 0.0]
    assert max(trial.value for trial in kept) > 1.9


def test_a_finite_space_is_used_up_and_goes_on_at_random():
    study = optimized(
        lambda trial: trial.suggest_int("n", 1, 4) * (1 + (trial.suggest_categorical("c", "ab") == "a")), 14
    )
    assert {(t.params["n"], t.params["c"]) for t in study.trials} == {(n, c) for n in range(1, 5) for c in "ab"}
    assert study.best_params == {"n": 1, "c": "b"}


def test_several_objectives_are_refused():
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=SurrogateSampler(seed=1))
    with pytest.raises(ValueError, match="one objective"):
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.0), n_trials=3)


def test_points_that_others_gave_are_learned():
    study = optuna.create_study(sampler=SurrogateSampler(seed=1))
    study.enqueue_trial({"rate": 0.01, "x": 1.0, "n": 4, "s": 0.5, "kind": None})
    study.optimize(mixed, n_trials=3)
    assert study.trials[0].value == 0.0
    assert len({tuple(sorted(map(str, trial.params.items()))) for trial in study.trials}) == 3
