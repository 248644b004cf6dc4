"""Taylor models hold: no value of a function is farther from its polynomial than the radius says."""

from __future__ import annotations

import casadi as ca
import numpy as np
import pytest

from bilevel.errors import RefusedError
from bilevel.graphs.taylor import Taylor
from bilevel.graphs.taylor_graph import TaylorGraph

X = ca.SX.sym("x", 2)
A, B = X[0], X[1]
FUNCTIONS = {
    "sum": A + B - 3,
    "difference": 2 - A - 2 * B,
    "product": A * B,
    "ratio": A / B + 3 / A - B / 7,
    "square": (A - B) ** 2,
    "cube": A**3 + B**4,
    "inverse powers": A**-2 + B**-3,
    "real powers": A**1.5 + A**2.5 + A**3.5 + ca.sqrt(B),
    "exponent": A**B,
    "exponential": ca.exp(-A * B) + ca.expm1(A),
    "logarithm": ca.log(A) + ca.log1p(B),
    "waves": ca.sin(A) + ca.cos(3 * B),
    "arctangent": ca.atan(A),
    "hyperbolic": ca.sinh(A) + ca.tanh(B) + ca.cosh(A) + ca.asinh(B),
    "error function": ca.erf(A),
    "kinks": ca.fabs(A) - ca.fmin(A, B) + ca.fmax(A, 2 * B),
    "steps": ca.sign(A) + (A < B) + (A <= B),
    "branch": ca.if_else(A > B, ca.exp(A), -B),
    "their slopes": ca.jacobian(ca.fabs(A) * ca.fmax(A, B) + ca.fmin(A, 1), X).T,
}
OUTPUTS = ca.vertcat(*FUNCTIONS.values())
NAMES = [name for name, each in FUNCTIONS.items() for _ in range(each.numel())]


def monomials(t):
    return np.array([np.ones_like(t[0]), t[0], t[1], t[0] ** 2, t[0] * t[1], t[1] ** 2])


@pytest.mark.parametrize("width", [6.0, 1.0, 0.1, 1e-2, 1e-4, 0.0])
@pytest.mark.parametrize("seed", range(3))
def test_no_value_leaves_its_model(width, seed):
    rng = np.random.default_rng(seed)
    taylor = Taylor(2)
    value = ca.Function("value", [X], [OUTPUTS])
    centre, half = rng.uniform(-4, 4, (2, 60)), width * rng.uniform(0, 1, (2, 60))
    low, high = centre - half, centre + half
    coordinates = taylor.coordinates(low, high)
    models = TaylorGraph(taylor, [X], OUTPUTS)(coordinates)
    bottom, top = taylor.ranges(models)
    assert np.isfinite(models[-1]).mean() > 0.5
    for _ in range(30):
        t = rng.uniform(-1, 1, low.shape)
        t = np.where(rng.random(low.shape) < 0.3, np.sign(t), t)
        points = np.clip(coordinates[0] + np.einsum("jjb,jb->jb", coordinates[1:3], t), low, high)
        values = value.map(60)(points).full()
        away = np.abs(values - np.einsum("kb,kob->ob", monomials(t), models[:-1]))
        wrong = np.flatnonzero((away > models[-1]).any(axis=1))
        assert not len(wrong), [NAMES[k] for k in wrong]
        assert not ((values < bottom) | (values > top)).any()


def test_the_remainder_falls_with_the_cube_of_the_width():
    taylor = Taylor(2)
    graph = TaylorGraph(taylor, [X], ca.exp(A * B) / (1 + A**2) + ca.sqrt(A + B))
    centre = np.array([[0.7], [0.4]])
    radii = [graph(taylor.coordinates(centre - r, centre + r))[-1, 0, 0] for r in (0.04, 0.02, 0.01)]
    assert radii[0] / radii[1] == pytest.approx(8.0, rel=0.15)
    assert radii[1] / radii[2] == pytest.approx(8.0, rel=0.15)


def test_polynomials_of_degree_two_are_exact_up_to_rounding():
    taylor = Taylor(2)
    models = TaylorGraph(taylor, [X], (A - 2 * B) ** 2 + A * B - 1)(
        taylor.coordinates(-np.ones((2, 1)), np.ones((2, 1)))
    )
    assert models[:-1, 0, 0] == pytest.approx([-1.0, 0.0, 0.0, 1.0, -3.0, 4.0])
    assert models[-1, 0, 0] < 1e-13


def test_linear_maps():
    rng = np.random.default_rng(0)
    taylor, matrix = Taylor(1), rng.normal(size=(3, 4))
    models = rng.normal(size=(4, 4, 5))
    models[-1] = np.abs(models[-1])
    image = taylor.mapped(matrix, models)
    assert image[:-1] == pytest.approx(np.einsum("qp,kpb->kqb", matrix, models[:-1]))
    assert (image[-1] >= np.abs(matrix) @ models[-1]).all()


def test_what_has_no_rule_is_refused_by_name():
    with pytest.raises(RefusedError, match="floor"):
        TaylorGraph(Taylor(2), [X], ca.floor(A))


def test_steps_are_told_from_kinks():
    assert TaylorGraph(Taylor(2), [X], ca.sign(A)).jumps
    assert not TaylorGraph(Taylor(2), [X], ca.fabs(A) + ca.fmax(A, B)).jumps
