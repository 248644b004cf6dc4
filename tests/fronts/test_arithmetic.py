"""Domination, hypervolume and what may be missing, on arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bilevel.upper.front import Proof, hypervolume, missed, nondominated, normalised_hypervolume


def test_of_equal_points_the_first_is_kept_and_what_is_no_number_goes():
    costs = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0], [math.nan, 0.0]])
    assert nondominated(costs).tolist() == [True, True, False, False, False]


def test_weakly_dominated_points_go_within_the_slack():
    costs = np.array([[0.0, 1.0], [1e-9, 0.5], [1.0, 0.0]])
    assert nondominated(costs, 1e-6).tolist() == [False, True, True]
    assert nondominated(costs).all()


@pytest.mark.parametrize("count", [2, 3, 4])
def test_hypervolume_is_the_share_of_points_that_are_dominated(count):
    rng = np.random.default_rng(count)
    costs, drawn = rng.random((9, count)), 1.1 * rng.random((100_000, count))
    share = np.logical_or.reduce([(drawn >= row).all(axis=1) for row in costs]).mean()
    assert hypervolume(costs, np.full(count, 1.1)) == pytest.approx(1.1**count * share, rel=0.02)


def test_hypervolume_of_known_fronts():
    assert hypervolume(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([2.0, 2.0])) == 3.0
    assert hypervolume(np.array([[3.0, 3.0]]), np.array([2.0, 2.0])) == 0.0
    line = np.array([[0.0, 5.0], [10.0, 0.0]])
    assert normalised_hypervolume(line, line) == pytest.approx(0.21)


def test_what_is_missing_between_two_ends_is_the_box_between_them():
    costs = np.array([[0.0, 1.0], [1.0, 0.0]])
    cells = missed(costs, [Proof((math.inf,), 0.0)], np.zeros(2), np.ones(2))
    assert [cell.gap for cell in cells] == [1.0]  # the corner (0, 0)
    closed = missed(costs, [Proof((math.inf,), 0.0), Proof((0.9,), 1.0)], np.zeros(2), np.ones(2))
    assert closed[0].gap == pytest.approx(0.1)
    assert not missed(costs, [Proof((math.inf,), 0.0), Proof((1.0,), 1.0)], np.zeros(2), np.ones(2))


def test_nothing_is_ruled_out_without_a_proof():
    costs = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert missed(costs, [], np.zeros(2), np.ones(2))[0].gap == math.inf
