"""The surrogates and acquisitions by themselves: interpolation, exact gradients, digits in the far tail."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import approx_fprime

from bilevel.solvers.searches.model_based.acquisition import ACQUISITIONS, log_expected_improvement
from bilevel.solvers.searches.model_based.warping import warp, warp_violation
from bilevel.solvers.surrogates.gaussian_process import GaussianProcess
from bilevel.solvers.surrogates.quadratic_trend import quadratic, quadratic_slope
from bilevel.solvers.surrogates.radial_basis import RadialBasis


def sample(count: int, dimension: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    points = rng.random((count, dimension))
    values = np.sin(5 * points[:, 0]) + points.sum(axis=1) ** 2
    return points, (values - values.mean()) / (values.std() or 1.0)


@pytest.mark.parametrize("count", [1, 4, 40])
def test_radial_basis_goes_through_its_points_however_few(count):
    points, values = sample(count, 6)
    model = RadialBasis()
    model.fit(points, values)
    mean, distance = model.predict(points)
    assert mean == pytest.approx(values, abs=1e-4)
    assert distance == pytest.approx(0.0, abs=1e-6)


def test_radial_basis_repeats_a_line_exactly():
    points, _ = sample(12, 3)
    slope = np.array([1.0, -2.0, 0.5])
    model = RadialBasis()
    model.fit(points, points @ slope + 1)
    there = np.random.default_rng(5).random((20, 3))
    assert model.predict(there)[0] == pytest.approx(there @ slope + 1, abs=1e-4)


def test_process_goes_through_its_points_and_is_unsure_far_from_them():
    points, values = sample(30, 3)
    model = GaussianProcess()
    model.fit(points, values)
    mean, deviation = model.predict(points)
    assert mean == pytest.approx(values, abs=0.05)
    assert model.predict(np.full((1, 3), 3.0))[1][0] > 3 * deviation.max()


def test_process_learns_which_coordinate_matters():
    points, _ = sample(40, 3)
    model = GaussianProcess()
    model.fit(points, np.sin(6 * points[:, 1]))
    scales = model.lengthscales
    assert scales[1] < min(scales[0], scales[2]) / 2


@pytest.mark.parametrize("trend", [False, True])
def test_posterior_has_its_gradient(trend):
    points, values = sample(25, 4)
    model = GaussianProcess(np.array([0, 1, 2, 2]), trend)
    theta = np.array([-0.3, 0.4, -1.0, *[-0.7] * trend, -5.0])
    location = math.sqrt(2) + 0.5 * math.log(3)
    terms = model._terms(points)
    given = (points, values, location, terms @ terms.T)
    slope = approx_fprime(theta, lambda t: model._loss(t, *given)[0], 1e-7)
    assert model._loss(theta, *given)[1] == pytest.approx(slope, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("trend", [False, True])
def test_prediction_has_its_gradient(trend):
    points, values = sample(25, 4)
    model = GaussianProcess(trend=trend)
    model.fit(points, values)
    x = np.array([0.3, 0.6, 0.2, 0.9])
    mean, deviation, mean_slope, deviation_slope = model.gradient(x)
    assert (mean, deviation) == pytest.approx([part[0] for part in model.predict(x[None])], rel=1e-9)
    for k, slope in enumerate([mean_slope, deviation_slope]):
        measured = approx_fprime(x, lambda z, k=k: model.predict(z[None])[k][0], 1e-7)
        assert slope == pytest.approx(measured, rel=1e-3, abs=1e-5)


def test_a_trend_says_what_lies_beyond_the_points():
    """Of a bowl in eight dimensions that twenty points show one side of: a process alone returns to its mean there."""
    points = 0.5 + 0.5 * np.random.default_rng(3).random((20, 8))
    values = ((points - 0.2) ** 2).sum(axis=1)
    low, high = values.mean(), values.std()
    there = np.full((1, 8), 0.3)
    errors = []
    for trend in (False, True):
        model = GaussianProcess(trend=trend)
        model.fit(points, (values - low) / high)
        errors.append(abs(float(model.predict(there)[0][0]) - (0.08 - low) / high))
    assert errors[1] < 0.5 * errors[0]


def test_indicators_of_a_category_have_no_square():
    groups = np.array([0, 1, 1, 2])
    assert quadratic(np.full((3, 4), 0.4), groups).shape == (3, 6)
    assert quadratic_slope(np.full(4, 0.4), groups).shape == (6, 4)


@pytest.mark.parametrize("z", [3.0, 0.0, -0.99, -1.01, -5.0, -20.0])
def test_log_expected_improvement_is_the_integral(z):
    value, _, _ = log_expected_improvement(np.array([-z]), np.array([1.0]), 0.0)
    # E[max(0, z + U)] with the factor phi(z) taken out in the tail, so that nothing underflows.
    area, _ = quad(lambda u: u * math.exp(-0.5 * u * u + min(z, 0) * u), 0, 60, epsabs=0, epsrel=1e-11)
    if z <= 0:
        assert value[0] == pytest.approx(math.log(area) - 0.5 * z * z - 0.5 * math.log(2 * math.pi), rel=1e-8)
    else:
        assert value[0] == pytest.approx(math.log(3.000382154), rel=1e-8)


def test_log_expected_improvement_is_finite_where_the_plain_one_is_zero():
    value, by_mean, by_deviation = log_expected_improvement(np.array([1e3, 1e8, 1e11]), np.ones(3), 0.0)
    assert np.isfinite([value, by_mean, by_deviation]).all()
    assert value[0] == pytest.approx(-0.5e6 - 0.5 * math.log(2 * math.pi) - 2 * math.log(1e3), rel=1e-9)
    assert (np.diff(value) < 0).all()


@pytest.mark.parametrize("name", ACQUISITIONS)
@pytest.mark.parametrize("mean", [-1.5, 0.2, 4.0, 30.0])
def test_acquisitions_have_their_gradients(name, mean):
    def at(pair):
        return ACQUISITIONS[name](np.array([pair[0]]), np.array([pair[1]]), 0.1)[0][0]

    _, by_mean, by_deviation = ACQUISITIONS[name](np.array([mean]), np.array([0.7]), 0.1)
    assert [by_mean[0], by_deviation[0]] == pytest.approx(approx_fprime([mean, 0.7], at, 1e-7), rel=1e-4, abs=1e-5)


def test_warping_keeps_the_order_and_bends_only_above_the_median():
    costs = np.array([1.0, 2.0, 3.0, 4.0, 1e9])
    yes = np.ones(5, dtype=bool)
    warped = warp(costs, yes, yes)
    assert (np.diff(warped) > 0).all()
    assert warped[1] - warped[0] == pytest.approx(warped[2] - warped[1])
    assert warped[4] - warped[3] < 40 * (warped[1] - warped[0])


def test_warped_failures_are_as_bad_as_the_worst():
    costs = np.array([1.0, np.nan, 5.0, 2.0])
    answered = np.array([True, False, True, True])
    warped = warp(costs, answered, answered)
    assert warped[1] == warped.max() == warped[2]
    assert (warp(np.full(3, np.nan), np.zeros(3, bool), np.zeros(3, bool)) == 0).all()
    assert np.isfinite(warp(np.full(3, 7.0), np.ones(3, bool), np.ones(3, bool))).all()


def test_warped_violations_tell_broken_from_kept():
    warped = warp_violation(np.array([0.0, 1e-3, 1e3, 0.0]), np.array([True, True, True, False]))
    assert warped[0] < 0 < warped[1] < warped[2] == warped[3]
