"""Good practice that BilevelSearchCV states, each told from the same search without the fault."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, TimeSeriesSplit
from sklearn.neighbors import KNeighborsRegressor

from bilevel.learning import BilevelSearchCV

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=30)
ALPHAS = {"alpha": [0.1, 1.0]}


def notes(cv=3, data=(X, y), space=ALPHAS, estimator=None, **asked):
    return BilevelSearchCV(estimator or Ridge(), space, cv=cv, random_state=0, **asked).fit(*data).notes_


def test_nothing_is_said_of_a_sound_search():
    assert notes() == []


def test_a_shuffle_without_a_seed():
    (note,) = notes(KFold(3, shuffle=True))
    assert "random_state" in note
    assert notes(KFold(3, shuffle=True, random_state=0)) == []


def test_rows_that_are_there_twice():
    (note,) = notes(data=(np.vstack([X, X]), np.append(y, y)))
    assert "60 of 60 held rows" in note
    assert "GroupKFold" in note


def test_folds_that_train_on_the_future():
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2020-01-01", periods=30)
    data = (pandas.DataFrame(X, index=days), pandas.Series(y, index=days))
    (note,) = notes(KFold(3), data)
    assert "2 of 3 folds" in note
    assert "TimeSeriesSplit" in note
    assert notes(TimeSeriesSplit(3), data) == []


def test_an_answer_at_the_end_of_its_range():
    (note,) = notes(space={"alpha": [1e3, 1e4, 1e5]})
    assert note.startswith("alpha is at the lower end of its range, 1000: less may be better still")


def test_many_candidates_for_few_rows_and_how_much_too_good_the_winner_is():
    noise = RNG.normal(size=30)  # nothing to be learnt: whatever is gained is chance
    space = {"n_neighbors": range(1, 19), "p": [1, 2, 3], "weights": ["uniform", "distance"]}
    search = BilevelSearchCV(KNeighborsRegressor(), space, budget=120, cv=3).fit(X, noise)
    assert any("108 candidates were chosen among by 30 held rows" in note for note in search.notes_)
    scores = np.array([search.cv_results_[f"split{k}_test_score"] for k in range(3)])
    excess = scores.max(axis=1) - scores[:, search.best_index_]
    assert search.optimism_ == pytest.approx(excess.mean())
    assert search.optimism_ > 0


def test_the_exact_method_has_no_optimism_to_state():
    assert np.isnan(BilevelSearchCV(Ridge(), {"alpha": (1e-2, 1e2, "log")}, cv=3, method="exact").fit(X, y).optimism_)
