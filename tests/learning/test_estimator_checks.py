"""Scikit-learn's own checks of an estimator, on a search over a ridge regression."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn")

from sklearn.linear_model import Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from bilevel.learning import BilevelSearchCV

# As of scikit-learn's own search classes, whose list of known failures names it too.
FAILS = {"check_supervised_y_2d": "a column for y is handed on to the estimator, who may or may not warn"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [BilevelSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2)], expected_failed_checks=lambda _: FAILS
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)
