"""The active sets of the l1 engine: exact on hard problems, from nothing and from an answer nearby."""

from __future__ import annotations

from dataclasses import replace

import hard_problems as hard
import numpy as np
import pytest

from bilevel.programs.l1.duality import lower_bound
from bilevel.solvers.engines.active_sets.optimum import ActiveSets


def check(seeds):
    for seed in seeds:
        form, weights = hard.drawn(np.random.default_rng(seed))
        sets = ActiveSets(form)
        found = sets(weights, None)
        assert found is not None, seed
        nearby = replace(weights, above=0.9 * weights.above, below=0.9 * weights.below)
        again = sets(nearby, found.w)
        assert again is not None, seed
        for of, w in ((weights, found.w), (nearby, again.w)):
            assert (w >= form.lower).all(), seed
            assert (w <= form.upper).all(), seed
            assert hard.residual(form, of, w) <= 1e-10, seed
            f = form.objective(of, w)
            assert f - lower_bound(form, of, w) <= 2e-8 * max(1.0, abs(f)), seed


def test_hard_problems_are_answered_to_the_last_digits():
    check(range(150))


@pytest.mark.slow
def test_a_thousand_hard_problems():
    check(range(150, 1150))


def test_doubled_columns_are_not_the_only_answer_and_others_are():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30, 4))
    y = X @ np.array([2.0, 0.0, 0.0, 1.0])
    everywhere = np.full(4, np.inf)
    form = hard.form_of(X, y, -everywhere, everywhere)
    weights = replace(hard.drawn(rng)[1], scale=0.5, linear=np.zeros(4), ridge=np.zeros(4))
    weights = replace(weights, above=np.ones(4), below=np.ones(4))
    assert ActiveSets(form)(weights, None).unique
    twin = hard.form_of(X[:, [0, 0, 2, 3]], y, -everywhere, everywhere)
    assert not ActiveSets(twin)(weights, None).unique
    with_ridge = replace(weights, ridge=np.full(4, 0.1))
    assert ActiveSets(twin)(with_ridge, None).unique


def test_an_empty_column_that_falls_for_ever_is_left_to_others():
    form = hard.form_of(np.array([[1.0, 0.0]]), np.ones(1), np.full(2, -np.inf), np.full(2, np.inf))
    weights = hard.drawn(np.random.default_rng(0))[1]
    zero = np.zeros(2)
    weights = replace(weights, scale=1.0, linear=np.array([0.0, 1.0]), ridge=zero, above=zero, below=zero)
    assert ActiveSets(form)(weights, None) is None
