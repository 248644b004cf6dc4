"""BilevelSearchCV beside scikit-learn's own search classes, on the same spaces."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.stats import loguniform, norm, randint, uniform

from bilevel.errors import OptionError, SpaceError

pytest.importorskip("sklearn")

from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bilevel.learning import BilevelSearchCV
from bilevel.learning.search_space import parameter

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=40)


class Picky(RegressorMixin, BaseEstimator):
    """Predicts ``level``, and cannot be fitted where it is above 2."""

    def __init__(self, level=0):
        self.level = level

    def fit(self, X, y):
        if self.level > 2:
            raise ValueError("too high")
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        assert type(self.level) is int
        return np.full(len(X), float(self.level))


@pytest.mark.parametrize("method", ["auto", "grid"])
@pytest.mark.parametrize(
    ("estimator", "grid"),
    [
        (Ridge(), {"fit_intercept": [True, False], "alpha": [0.1, 1, 10.0]}),
        (make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": np.array([0.1, 5.0])}),
        (
            make_pipeline(StandardScaler(), Ridge()),
            {"ridge": [Ridge(), KNeighborsRegressor()], "standardscaler": ["passthrough", StandardScaler()]},
        ),
        (KNeighborsRegressor(), {"n_neighbors": range(2, 5), "metric_params": [None], "p": [1]}),
    ],
    ids=["list", "array", "objects", "range"],
)
def test_it_stands_in_for_grid_search(estimator, grid, method):
    theirs = GridSearchCV(estimator, grid, cv=3).fit(X, y)
    ours = BilevelSearchCV(estimator, grid, cv=3, method=method).fit(X, y)
    assert ours.cv_results_.keys() == theirs.cv_results_.keys()
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    for key in ("mean_test_score", "std_test_score", "rank_test_score", "split2_test_score"):
        assert (ours.cv_results_[key] == theirs.cv_results_[key]).all()
    assert (ours.best_params_, ours.best_index_) == (theirs.best_params_, theirs.best_index_)
    assert ours.best_score_ == theirs.best_score_ == ours.result_.upper_objective
    assert (ours.predict(X) == theirs.predict(X)).all()
    assert ours.score(X, y) == theirs.score(X, y)
    assert (ours.n_splits_, ours.multimetric_) == (3, False)


def test_the_best_of_a_range_beats_a_coarse_grid():
    found = BilevelSearchCV(Ridge(), {"alpha": (1e-3, 1e3, "log")}, budget=8, random_state=1).fit(X, y)
    grid = GridSearchCV(Ridge(), {"alpha": [1e-3, 1.0, 1e3]}).fit(X, y)
    assert found.best_score_ >= grid.best_score_ - 1e-4
    assert found.best_score_ == max(found.cv_results_["mean_test_score"])
    assert (found.verdict_, found.bound_) == ("best_found", None)


def test_the_same_seed_gives_the_same_candidates():
    space = {"alpha": loguniform(1e-3, 1e3), "fit_intercept": [True, False]}
    first, again, other = (
        BilevelSearchCV(Ridge(), space, method="random", budget=6, random_state=seed).fit(X, y) for seed in (3, 3, 4)
    )
    assert first.cv_results_["params"] == again.cv_results_["params"] != other.cv_results_["params"]
    assert all(type(p["alpha"]) is float and type(p["fit_intercept"]) is bool for p in first.cv_results_["params"])


def test_several_scores():
    scoring = ["r2", "neg_mean_absolute_error"]
    space = {"alpha": [0.1, 10.0, 1000.0]}
    ours = BilevelSearchCV(Ridge(), space, scoring=scoring, refit="neg_mean_absolute_error").fit(X, y)
    theirs = GridSearchCV(Ridge(), space, scoring=scoring, refit="neg_mean_absolute_error").fit(X, y)
    assert ours.cv_results_.keys() == theirs.cv_results_.keys()
    assert (ours.best_params_, ours.best_score_) == (theirs.best_params_, theirs.best_score_)
    assert ours.result_.upper_objective == ours.best_score_
    last = BilevelSearchCV(Ridge(), space, refit=lambda results: len(results["params"]) - 1).fit(X, y)
    assert last.best_params_ == {"alpha": 1000.0}
    with pytest.raises(ValueError, match="refit must be set to a scorer key"):
        BilevelSearchCV(Ridge(), space, scoring=scoring).fit(X, y)


def test_clone_pickle_and_nesting():
    search = BilevelSearchCV(Ridge(), {"alpha": (0.1, 10.0)}, method="random", budget=3, cv=2, random_state=0)
    assert clone(search).get_params().keys() == search.get_params().keys()
    read = pickle.loads(pickle.dumps(search.fit(X, y)))
    assert (read.predict(X) == search.predict(X)).all()
    assert len(read.result_.history) == 3
    assert cross_val_score(clone(search), X, y, cv=2).shape == (2,)


def test_failed_fits_have_the_error_score():
    search = BilevelSearchCV(Picky(), {"level": [0, 1, 3]}, cv=2, scoring="neg_mean_squared_error", n_jobs=1)
    with pytest.warns() as heard:
        search.fit(X, y)
    assert any(issubclass(w.category, FitFailedWarning) and "1 of 3" in str(w.message) for w in heard)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, False, True]
    assert search.cv_results_["rank_test_score"][2] == 3
    with pytest.warns(FitFailedWarning):
        low = clone(search).set_params(error_score=-100.0).fit(X, y)
    assert low.cv_results_["mean_test_score"][2] == -100.0
    with pytest.raises(ValueError, match="too high"):
        clone(search).set_params(error_score="raise").fit(X, y)
    with pytest.raises(ValueError, match="All the 2 fits failed"):
        clone(search).set_params(space={"level": [3, 4]}).fit(X, y)


def test_a_failing_scorer_that_is_no_failed_fit_is_raised():
    with pytest.raises(ValueError, match="scoring must return a number"):
        BilevelSearchCV(Ridge(), {"alpha": [1, 2]}, scoring=lambda *_: "good").fit(X, y)


def test_groups_go_to_the_splitter():
    groups = np.arange(40) % 4
    search = BilevelSearchCV(Ridge(), {"alpha": [0.1, 10.0]}, cv=GroupKFold(4)).fit(X, y, groups=groups)
    theirs = GridSearchCV(Ridge(), {"alpha": [0.1, 10.0]}, cv=GroupKFold(4)).fit(X, y, groups=groups)
    assert search.best_score_ == theirs.best_score_


def test_weights_go_to_the_estimator():
    weights = np.where(np.arange(40) < 20, 5.0, 0.1)
    theirs = GridSearchCV(Ridge(), {"alpha": [0.1, 10.0]}).fit(X, y, sample_weight=weights)
    ours = BilevelSearchCV(Ridge(), {"alpha": [0.1, 10.0]}).fit(X, y, sample_weight=weights)
    assert (ours.best_estimator_.coef_ == theirs.best_estimator_.coef_).all()
    assert ours.best_score_ == theirs.best_score_


def test_a_shuffle_without_a_seed_is_drawn_once():
    folds = KFold(3, shuffle=True)
    search = BilevelSearchCV(Ridge(), {"alpha": [1.0], "copy_X": [True, False]}, cv=folds).fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"])) == 1


def test_a_study_goes_on(tmp_path):
    call = {"study": str(tmp_path / "s.log"), "random_state": 0, "method": "random"}
    BilevelSearchCV(Ridge(), {"alpha": (0.1, 10.0)}, budget=3, **call).fit(X, y)
    more = BilevelSearchCV(Ridge(), {"alpha": (0.1, 10.0)}, budget=5, **call).fit(X, y)
    assert len(more.result_.history) == 5
    assert len(more.cv_results_["params"]) <= 3
    assert more.best_score_ == more.result_.upper_objective


@pytest.mark.parametrize(
    ("given", "low", "high", "kind"),
    [
        ((1, 3), 1.0, 3.0, float),
        ((1, 3, "int"), 1, 3, int),
        ((1, 3, "log"), 1.0, 3.0, float),
        ((1, 300, "int", "log"), 1, 300, int),
        (uniform(1, 2), 1.0, 3.0, float),
        (loguniform(1, 3), 1.0, 3.0, float),
        (randint(1, 4), 1, 3, int),
        (norm(2, 1), 2 - 3.1, 2 + 3.1, float),
    ],
)
def test_ranges(given, low, high, kind):
    import pyomo.environ as pyo

    read, model = parameter("alpha", given), pyo.ConcreteModel()
    variable = read.add_to(model)
    assert read.log == (given in [(1, 3, "log")] or getattr(getattr(given, "dist", None), "name", "") == "loguniform")
    ends = list(variable.domain) if read.members else list(variable.bounds)
    values = [read.value(ends[0]), read.value(ends[-1])]
    assert {type(v) for v in values} == {kind}
    assert values == pytest.approx([low, high], abs=0.02)


def test_distributions_of_optuna():
    optuna = pytest.importorskip("optuna").distributions
    assert parameter("a", optuna.FloatDistribution(1e-3, 1.0, log=True)).log
    assert parameter("a", optuna.FloatDistribution(0.0, 1.0, step=0.25)).members == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert parameter("a", optuna.IntDistribution(2, 9)).size == 8
    assert parameter("a", optuna.IntDistribution(2, 8, step=3)).members == (2, 5, 8)
    assert parameter("a", optuna.CategoricalDistribution(["x", None])).members == ("x", None)


def test_members_are_the_users_own():
    objects = [{"a": 1}, [1, 2], Ridge(), float("nan"), None]
    read = parameter("p", objects)
    assert all(read.value(key) is member for key, member in zip(read.keys, objects, strict=True))
    assert parameter("p", [1, True, 1.0]).members == (1, True, 1.0)
    assert parameter("p", [1, 2, 1]).members == (1, 2)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "a dictionary such as"),
        ([{"alpha": [1]}], "a dictionary such as"),
        ({"alhpa": [1]}, r"space\['alhpa'\]: Ridge has no such parameter; did you mean 'alpha'"),
        ({"alpha": []}, r"space\['alpha'\] is empty; give a list"),
        ({"alpha": 3}, r"space\['alpha'\] = 3 is no set of values; give a list"),
        ({"alpha": "log"}, "is no set of values"),
        ({"alpha": (3, 1)}, "must be finite and rise"),
        ({"alpha": (0, 1, "log")}, "low must be above 0"),
        ({"alpha": (0, 1, "log", "wide")}, "neither a list nor a range"),
        ({"alpha": (0.1, 0.9, "int")}, "no integer in that range"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_cure(space, message):
    with pytest.raises(SpaceError, match=message):
        BilevelSearchCV(Ridge(), space).fit(X, y)


def test_a_candidate_is_looked_at_with_little_first():
    forest = GradientBoostingRegressor(n_estimators=27, random_state=0)
    space = {"learning_rate": (1e-3, 1.0, "log"), "max_depth": [1, 2, 3]}
    search = BilevelSearchCV(
        forest, space, method="random", budget=15, cv=2, random_state=0, resource="n_estimators", pruner="halving"
    ).fit(X, y)
    table = search.cv_results_["params"]
    assert search.result_.saved["pruned"] > 0
    assert len(table) == 15 - search.result_.saved["pruned"]
    assert all(set(params) == set(space) for params in table)
    assert search.best_estimator_.n_estimators_ == 27
    assert search.best_score_ == search.result_.upper_objective


@pytest.mark.parametrize(
    "asked", [{"resource": "n_neighbors"}, {"pruner": "median"}, {"resource": "weights", "pruner": "median"}]
)
def test_a_resource_is_a_number_and_has_a_pruner(asked):
    with pytest.raises(OptionError, match="resource="):
        BilevelSearchCV(KNeighborsRegressor(), {"p": [1, 2]}, **asked).fit(X, y)
