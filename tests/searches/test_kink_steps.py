"""Steps across kinks: functions that are no smoother than their optimum is sharp, with known answers."""

import sys
from pathlib import Path

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.solvers.searches.descent.kink_steps import Piece, cross

LITERATURE = Path(__file__).parents[2] / "models" / "literature"


def best_of(function, start, steps=60, room=None):
    """The best feasible value that ``cross`` finds, and how many points it looked at."""
    seen = []

    def look(u):
        value, slope = function(u)
        rows, slopes = (np.zeros(0), np.zeros((0, len(u)))) if room is None else room(u)
        piece = Piece(u.copy(), value, np.asarray(slope, dtype=float), rows, slopes, bool((rows >= -1e-9).all()))
        seen.append(piece)
        return piece

    cross(look, [look(np.array(start, dtype=float))], [], steps)
    return min((piece for piece in seen if piece.feasible), key=lambda piece: piece.value), len(seen)


def steep_valley(u):
    """A sum of absolute values, the second thirty times as steep: the gradient alone goes to and fro."""
    return abs(u[0] - 0.3) + 30.0 * abs(u[1] - 0.6), [np.sign(u[0] - 0.3), 30.0 * np.sign(u[1] - 0.6)]


def curved_kink(u):
    """Rosenbrock's valley with its floor a kink."""
    bent = u[1] - u[0] ** 2
    return 5.0 * abs(bent) + (1.0 - u[0]) ** 2, [
        -10.0 * u[0] * np.sign(bent) - 2.0 * (1.0 - u[0]),
        5.0 * np.sign(bent),
    ]


def of_the_least(u):
    """The smaller of two cones: not convex, and two local optima."""
    cones = [np.abs(u - 0.2).sum() + 0.1, np.abs(u - 0.8).sum()]
    k = int(np.argmin(cones))
    return cones[k], np.sign(u - (0.2, 0.8)[k])


@pytest.mark.parametrize(
    ("function", "start", "value"),
    [
        (steep_valley, [0.9, 0.1], 0.0),
        (steep_valley, [0.3, 0.1], 0.0),
        (of_the_least, [0.9, 0.6], 0.0),
        (of_the_least, [0.1, 0.3], 0.1),
    ],
)
def test_a_sharp_optimum_is_reached(function, start, value):
    found, _ = best_of(function, start)
    assert found.value == pytest.approx(value, abs=1e-6)


def test_a_curved_kink_is_followed():
    found, _ = best_of(curved_kink, [0.0, 0.5], steps=400)
    assert found.value <= 1e-4


def test_a_stationary_point_is_left_alone():
    def smooth(u):
        return float((u - 0.5) @ (u - 0.5)), 2.0 * (u - 0.5)

    _, looks = best_of(smooth, [0.5, 0.5])
    assert looks == 1


def test_constraints_hold_for_every_piece():
    """Minimise u1 + u2 above the larger of two lines: the optimum is where they meet."""

    def plane(u):
        return u[0] + u[1], [1.0, 1.0]

    def room(u):
        lines = [u[1] - (0.9 - 3.0 * u[0]), u[1] - (0.5 - 0.4 * u[0])]
        k = int(np.argmin(lines))
        return np.array([lines[k]]), np.array([[[3.0, 1.0], [0.4, 1.0]][k]])

    found, _ = best_of(plane, [0.9, 0.9], room=room)
    corner = 0.4 / 2.6
    assert found.unit == pytest.approx([corner, 0.9 - 3.0 * corner], abs=1e-5)


def test_steps_do_not_walk_into_the_tolerance():
    """u1 >= 0.5 within 1e-6 is feasible; every step that follows the objective would break it a little more."""

    def look(u):
        room = np.array([u[0] - 0.5])
        return Piece(u, float(u[0]), np.array([1.0, 0.0]), room, np.array([[1.0, 0.0]]), bool(room[0] >= -1e-6))

    known = [look(np.array([0.5 - 1e-10, 0.5])), look(np.array([0.6, 0.5]))]
    cross(look, known, [], 60)
    assert min(piece.value for piece in known if piece.feasible) >= 0.5 - 2e-9


def test_where_there_is_no_answer_the_steps_get_shorter():
    def look(u):
        if u[0] < 0.25:
            return None
        return Piece(u, float(u[0]), np.ones(1), np.zeros(0), np.zeros((0, 1)), True)

    known = [look(np.array([0.9]))]
    cross(look, known, [], 80)
    assert min(piece.value for piece in known) == pytest.approx(0.25, abs=1e-6)


def test_the_edge_of_the_answers_is_walked_along():
    """Only the points below a slanted line have an answer; the best of them is where it meets the box."""

    def look(u):
        if 0.6 * u[0] + u[1] > 0.9:
            return None
        return Piece(u, float(1.0 - u[1] - 0.8 * u[0]), np.array([-0.8, -1.0]), np.zeros(0), np.zeros((0, 2)), True)

    known, walls = [look(np.array([0.1, 0.1]))], []
    cross(look, known, walls, 120)
    best = min(known, key=lambda piece: piece.value)
    assert best.unit == pytest.approx([1.0, 0.3], abs=1e-3)
    assert len(walls) < 60


@pytest.mark.parametrize(
    "name", ["liu_hart_1994", "clark_westerberg_1988", "anandalingam_white_1990", "yezza_1996_3_1"]
)
def test_bilevel_problems_with_their_optimum_at_a_kink(name):
    sys.path.insert(0, str(LITERATURE))
    try:
        from shelf import every_problem

        case = every_problem()[name]
    finally:
        sys.path.remove(str(LITERATURE))
    result = bilevel.solve(case.create(), "gradient", budget=100, seed=0)
    assert result.upper_objective == pytest.approx(case.value, rel=1e-5, abs=1e-5)


def at_the_edge():
    """The follower has an answer for x >= 8/9 alone, where the leader's best point is."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10), initialize=5.0)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, None))
    model.lower.above = pyo.Constraint(expr=model.lower.y >= 4 - model.x)
    model.lower.below = pyo.Constraint(expr=model.lower.y <= 3.5 * model.x)
    model.lower.obj = pyo.Objective(expr=model.lower.y)
    model.obj = pyo.Objective(expr=model.x)
    return model


@pytest.mark.parametrize("seed", range(4))
def test_a_point_at_the_edge_of_the_answers_is_found_and_stands(seed):
    result = bilevel.solve(at_the_edge(), "gradient", budget=80, seed=seed)
    assert result.verdict == "best_found"
    assert result.upper_objective == pytest.approx(8 / 9, abs=1e-5)
    assert result.lower_violation <= 1e-6
