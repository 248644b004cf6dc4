"""Fronts by search: nondominated, verified, the same with the same seed, and nearer to the true one than chance."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from front_cases import bulged, integers, linear, linear_costs, three

import bilevel
from bilevel.errors import OptionError, RefusedError
from bilevel.solvers.searches.model_based.hypervolume import (
    draws_of,
    log_hypervolume_improvement,
    log_scalarised_improvement,
    slopes,
)
from bilevel.upper.front import hypervolume, nondominated, normalised_hypervolume

SEARCHES = ["random", "grid", "gp", "surrogate", "gradient", "optuna:nsga2", "optuna:tpe"]


@pytest.mark.parametrize("method", SEARCHES)
def test_a_searched_front_is_nondominated_verified_and_repeatable(method):
    found = bilevel.solve(linear(), method, budget=24, seed=3)
    assert found.verdict == "best_found"
    assert found.front_gap is None
    assert found.evaluations == len(found.history) <= 24
    assert nondominated(found.costs).all()
    assert (np.diff(found.costs[:, 0]) >= 0).all()
    for point in found.front:
        x1, x2 = point.upper["x[1]"], point.upper["x[2]"]
        y = max(0, x1 - x2, x1 - 4)
        assert list(point.upper_objectives.values()) == pytest.approx([2 * y - 3 * x1, x1 + 2 * x2 + y], abs=1e-5)
        assert point.upper_violation <= 1e-6
    again = bilevel.solve(linear(), method, budget=24, seed=3)
    assert [e.point for e in again.history] == [e.point for e in found.history]
    tried = np.array([found.costs_of(e) for e in found.history])
    assert not any((tried < row - 1e-5).all(axis=1).any() for row in found.costs)


def test_models_of_the_objectives_find_more_of_the_front_than_chance():
    brute = linear_costs(61)
    reference = brute[nondominated(brute)]
    found = {m: bilevel.solve(linear(), m, budget=30, seed=1).costs for m in ("surrogate", "random")}
    volumes = {m: normalised_hypervolume(costs, reference) for m, costs in found.items()}
    assert volumes["surrogate"] > volumes["random"] + 0.03
    assert volumes["surrogate"] > 0.9 * normalised_hypervolume(reference, reference)


def test_a_front_found_in_one_corner_is_followed_out_of_it():
    found = bilevel.solve(bulged(), "gp", budget=45, seed=0).costs
    assert found[:, 0].min() < 0.01
    assert found[:, 0].max() > 0.9
    true = np.column_stack([np.linspace(0, 1, 200), 1 - np.linspace(0, 1, 200) ** 2])
    assert normalised_hypervolume(found, true) > 0.8 * normalised_hypervolume(true, true)


def test_three_objectives_by_scalarisations():
    found = bilevel.solve(three(), "gp", budget=20, seed=1)
    x = np.array([[point.upper["x[0]"], point.upper["x[1]"]] for point in found.front])
    assert (x.sum(axis=1) < 1.15).mean() > 0.6  # the front is the triangle below the diagonal
    assert all(set(point.upper_objectives) == {"first", "second", "third"} for point in found.front)


def test_coupling_constraints_are_kept():
    model = linear()
    model.far = pyo.Constraint(expr=model.lower.y <= 1.5)
    for method in ("gp", "gradient", "optuna:nsga2"):
        found = bilevel.solve(model, method, budget=24, seed=2)
        assert found.front
        assert all(point.lower["lower.y"] <= 1.5 + 1e-5 for point in found.front)


def test_categories_and_integers():
    model = pyo.ConcreteModel()
    model.kind = pyo.Var(within=pyo.Set(initialize=["a", "b"]))
    model.n = pyo.Var(within=pyo.RangeSet(0, 4))
    model.lower = bilevel.LowerLevel(response=lambda x: {"lower.y": x["n"] * (2 if x["kind"] == "b" else 1)})
    model.lower.y = pyo.Var()
    model.much = pyo.Objective(expr=model.lower.y, sense=pyo.maximize)
    model.little = pyo.Objective(expr=model.n)
    found = bilevel.solve(model, "surrogate", budget=10, seed=1)
    assert (found.front[0].upper["kind"], found.front[0].upper["n"]) == ("b", 4)
    assert len(found.front) == 5


def test_a_search_that_learns_of_one_objective_refuses():
    with pytest.raises(RefusedError, match="rbf knows one upper objective; use gp"):
        bilevel.solve(linear(), "rbf", budget=10)
    with pytest.raises(RefusedError, match="knows one upper objective"):
        bilevel.solve(linear(), "de", budget=10)


def test_a_study_goes_on(tmp_path):
    study = f"sqlite:///{tmp_path / 'front.db'}"
    first = bilevel.solve(linear(), "gp", budget=12, seed=1, study=study)
    whole = bilevel.solve(linear(), "gp", budget=16, seed=1, study=study)
    assert [e.costs for e in whole.history[:12]] == [e.costs for e in first.history]
    fresh = bilevel.solve(linear(), "gp", budget=16, seed=1, study=f"sqlite:///{tmp_path / 'other.db'}")
    assert [e.point for e in whole.history] == [e.point for e in fresh.history]
    with pytest.raises(OptionError, match="no one study holds"):
        bilevel.solve(linear(), "gradient", budget=10, study=study)


def test_a_study_of_optuna_knows_every_objective(tmp_path):
    import optuna

    heard = []
    path = tmp_path / "front.log"
    found = bilevel.solve(
        linear(pyo.maximize),
        "random",
        budget=4,
        seed=1,
        study=str(path),
        callbacks=[lambda study, trial: heard.append(trial.values)],
    )
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    (summary,) = optuna.get_all_study_summaries(storage)
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert heard == [list(e.upper_objectives.values()) for e in found.history]
    assert len(study.best_trials) == len(found.front)


@pytest.mark.slow
def test_workers_find_the_same_front():
    alone = bilevel.solve(linear(), "random", budget=16, seed=1)
    crowd = bilevel.solve(linear(), "random", budget=16, seed=1, workers=2)
    assert np.array_equal(alone.costs, crowd.costs)


def test_an_enumeration_of_a_finite_space_is_certified_only_when_it_is_whole():
    assert bilevel.solve(integers(), "grid", budget=11).verdict == "certified_global"
    assert bilevel.solve(integers(), "grid", budget=8).verdict == "best_found"


def test_an_enumeration_proves_nothing_where_answers_are_not_unique():
    model = integers()
    model.lower.near.deactivate()
    model.lower.any = pyo.Objective(expr=0 * model.lower.y)
    model.lower.row = pyo.Constraint(expr=model.lower.y <= model.x)
    assert bilevel.solve(model, "grid", budget=11).verdict == "best_found"


def test_what_the_sum_of_the_objectives_does_not_see_is_not_unique_all_the_same():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 3), within=pyo.Integers)
    model.lower = bilevel.LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 5))
    model.lower.row = pyo.Constraint(expr=model.lower.y <= model.x)
    model.lower.any = pyo.Objective(expr=0 * model.lower.y)
    model.least = pyo.Objective(expr=model.lower.y)
    model.most = pyo.Objective(expr=model.lower.y, sense=pyo.maximize)
    found = bilevel.solve(model, "grid", budget=4)
    assert found.verdict == "best_found"
    assert "FrontResult" in repr(found)


def test_several_objectives_and_a_pessimist():
    unique = bilevel.solve(integers(), "grid", budget=11, attitude="pessimistic")
    assert unique.verdict == "certified_global"
    with pytest.raises(RefusedError, match="not proved unique"):
        bilevel.solve(linear(), "random", budget=5, attitude="pessimistic")


def test_comparing_fronts(tmp_path):
    table = bilevel.compare(linear(), ["surrogate", "random", "rbf"], budget=16, seed=1)
    volumes = table.hypervolumes
    assert table.best.method == "surrogate"
    assert volumes["surrogate"] > volumes["random"]
    assert table.results[2].refused
    plain = table.to_dict()
    assert [row["hypervolume"] for row in plain["results"]] == [volumes["surrogate"], volumes["random"], None]
    assert "hypervolume" in str(table)
    table.plot(tmp_path / "fronts.png")
    table.report(tmp_path / "fronts.html")
    assert "sortBy" in (tmp_path / "fronts.html").read_text()


def test_the_expected_improvement_is_the_mean_improvement():
    rng = np.random.default_rng(0)
    front, reference = np.array([[0.0, 0.9], [0.3, 0.5], [1.0, 0.0]]), np.full(2, 1.1)
    worth = log_hypervolume_improvement(front, reference)
    mean, deviation = np.array([0.4, 0.3]), np.array([0.3, 0.2])
    base = hypervolume(front, reference)
    drawn = mean + deviation * rng.standard_normal((4000, 2))
    gained = [hypervolume(np.vstack([front, row]), reference) - base for row in drawn]
    assert np.exp(worth(mean[None], deviation[None]))[0] == pytest.approx(np.mean(gained), rel=0.06)
    far = worth(np.array([[9.0, 9.0]]), np.array([[0.1, 0.1]]))
    assert np.isfinite(far).all()
    value, by_mean, by_deviation = slopes(worth, mean, deviation)
    assert value == pytest.approx(worth(mean[None], deviation[None])[0])
    assert (by_mean < 0).all()
    assert (by_deviation > 0).any()


def test_the_scalarised_improvement_grows_where_costs_fall():
    rng = np.random.default_rng(0)
    worth = log_scalarised_improvement(np.eye(3), np.array([0.2, 0.3, 0.5]), draws_of(3, rng))
    near, far = worth(np.array([[0.1, 0.1, 0.1], [2.0, 2.0, 2.0]]), np.full((2, 3), 0.2))
    assert near > far
