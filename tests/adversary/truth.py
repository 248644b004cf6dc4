"""What is true of a stated problem, by dense grids and golden section in both levels, in 80 bit numbers.

Nothing of the package is used. The word that counts is a *witness*: one x whose followers' best answers were found on a
grid of thousands of values, every one of the lowest valleys refined, and that meets every row exactly. A bound or a
certificate that such a point beats is wrong whatever else is true, so that a search that misses the best x can make this
file too kind but never unjust. What remains to be believed is that no follower here has a valley narrower than a step of
the last grid; the families are chosen so.

F at the witness is in error by what its y is: a bracket of golden section ends at 1e-9 of the range or so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stated_problem import Follower, Stated, Variable, excess_of, value_of

Array = Any  # of longdouble
At = dict[str, Array]
Score = Callable[[At], tuple[Array, Array]]  # violation and objective, minimised in this order

GOLDEN = (np.sqrt(np.longdouble(5)) - 1) / 2
TIE = 1e-18  # of what f varies by


@dataclass(frozen=True)
class Depth:
    """Points of a grid per interval, and steps of golden section in each of its lowest valleys."""

    points: int
    steps: int
    valleys: int = 4


# By the number of variables: of the leader where followers have one variable each, or two; of a follower, and at the end.
LEADER = {1: Depth(301, 40), 2: Depth(25, 14, 2), 3: Depth(9, 10, 2)}
LISTED = {4: Depth(2, 0, 1)}  # of integers alone: every value is tried, whatever is said here
BEFORE_TWO = {1: Depth(81, 24, 3), 2: Depth(11, 8, 2)} | LISTED
SEARCH = {1: Depth(161, 55), 2: Depth(15, 25, 2)} | LISTED
CHECK = {1: Depth(6001, 75), 2: Depth(61, 45, 2)} | LISTED


@dataclass(frozen=True)
class Truth:
    """``value`` is F at the witness in the user's sense, None where no point was found; ``spread`` what F varies by."""

    value: float | None
    witness: dict[str, float]
    spread: float


def grid_of(variable: Variable, points: int) -> tuple[Array, Array, Array]:
    """Values of a variable, with the neighbours of each between which golden section may go."""
    columns = []
    for low, high in variable.pieces:
        values = np.array([low], dtype=np.longdouble) if low == high else _interval(low, high, points)
        before, after = np.roll(values, 1), np.roll(values, -1)
        before[0], after[-1] = values[0], values[-1]
        columns.append(np.stack([values, before, after]))
    if not columns:
        return (np.zeros(0, dtype=np.longdouble),) * 3
    values, before, after = np.concatenate(columns, axis=1)
    return values, before, after


def _interval(low: float, high: float, points: int) -> Array:
    """Equal steps, and equal ratios towards zero where the interval reaches over magnitudes or across zero."""
    parts = [np.linspace(low, high, points, dtype=np.longdouble)]
    small = max(points // 3, 8)
    if low > 0 and high / low > 30:
        parts.append(np.geomspace(low, high, points, dtype=np.longdouble))
    elif low <= 0 <= high:
        near = np.geomspace(1e-6, 1.0, small, dtype=np.longdouble)
        parts += [near * high, near * low, np.zeros(1, dtype=np.longdouble)]
    values = np.unique(np.concatenate(parts))
    return values[(values >= low) & (values <= high)]


def least(score: Score, variables: Sequence[Variable], at: At, depth: Depth) -> tuple[Array, Array, At]:
    """The best of a score over some variables, for every element of the arrays in ``at``, one variable inside another.

    Returns violation, objective and arguments with a last axis over the valleys of the first variable.
    """
    first, rest = variables[0], variables[1:]

    def along(column: Array) -> tuple[Array, Array, At]:
        here = {name: value[..., None] for name, value in at.items()} | {first.name: column}
        if not rest:
            violation, objective = score(here)
            return np.broadcast_to(violation, column.shape), np.broadcast_to(objective, column.shape), {}
        return best_of(*least(score, rest, here, depth))

    shape = np.broadcast_shapes(*(np.shape(value) for value in at.values()))
    values, before, after = (np.broadcast_to(part, (*shape, part.size)) for part in grid_of(first, depth.points))
    if not values.shape[-1]:
        nothing = np.full((*shape, 1), np.inf, dtype=np.longdouble)
        return nothing, nothing, {v.name: nothing for v in variables}
    violation, objective, others = along(values)
    picked = _valleys(violation, objective, depth.valleys)

    def pick(array: Array) -> Array:
        return np.take_along_axis(array, picked, axis=-1)

    best = pick(violation), pick(objective), {first.name: pick(values), **{k: pick(v) for k, v in others.items()}}
    low, high = pick(before), pick(after)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = along(left), along(right)
    values_alone = all(low == high for low, high in first.pieces)
    for _ in range(0 if values_alone else depth.steps):
        best = _better_of(_better_of(best, at_left, first.name, left), at_right, first.name, right)
        leftward = _is_better(at_left, at_right)
        low, high = np.where(leftward, low, left), np.where(leftward, right, high)
        probe = np.where(leftward, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        at_probe = along(probe)
        left, right = np.where(leftward, probe, right), np.where(leftward, left, probe)
        at_left, at_right = _where(leftward, at_probe, at_right), _where(leftward, at_left, at_probe)
    return best


def best_of(violation: Array, objective: Array, arguments: At) -> tuple[Array, Array, At]:
    """The best along the last axis."""
    index = np.lexsort((objective, violation), axis=-1)[..., :1]

    def pick(array: Array) -> Array:
        return np.take_along_axis(array, index, axis=-1)[..., 0]

    return pick(violation), pick(objective), {name: pick(value) for name, value in arguments.items()}


def _valleys(violation: Array, objective: Array, count: int) -> Array:
    """Indices of the best local minima along the last axis."""
    here = slice(None, -1), slice(1, None)
    down = _is_better(*((violation[..., s], objective[..., s]) for s in here[::-1]))  # the next one is better
    up = _is_better(*((violation[..., s], objective[..., s]) for s in here))
    edge = np.zeros((*violation.shape[:-1], 1), dtype=bool)
    beaten = np.concatenate([down, edge], axis=-1) | np.concatenate([edge, up], axis=-1)
    order = np.lexsort((objective, violation, beaten), axis=-1)
    return order[..., : min(count, order.shape[-1])]


def _is_better(one: Any, other: Any) -> Array:
    return (one[0] < other[0]) | ((one[0] == other[0]) & (one[1] < other[1]))


def _where(mask: Array, one: Any, other: Any) -> Any:
    return (
        np.where(mask, one[0], other[0]),
        np.where(mask, one[1], other[1]),
        {name: np.where(mask, one[2][name], other[2][name]) for name in one[2]},
    )


def _better_of(best: Any, found: Any, name: str, column: Array) -> Any:
    return _where(_is_better(found, best), (found[0], found[1], {name: column, **found[2]}), best)


# ------------------------------------------------------------------------------------------------------------ followers


def violation_of(rows: Sequence[str], at: At, shape: Any = ()) -> Array:
    """The largest violation of some rows; infinite where a row has no value."""
    worst = np.zeros(shape, dtype=np.longdouble)
    for row in rows:
        worst = np.maximum(worst, excess_of(row, at))
    return np.where(np.isnan(worst), np.inf, worst)


def follower_score(follower: Follower, at: At) -> tuple[Array, Array]:
    """Violation and f, minimised."""
    objective = follower.sign * value_of(follower.plain or follower.objective, at) + np.longdouble(0)
    violation = violation_of(follower.rows, at)
    bad = np.isnan(objective)
    return np.where(bad, np.inf, violation), np.where(bad, np.inf, objective)


def own_variables(follower: Follower, problem: Stated) -> tuple[Variable, ...]:
    """The variables that are truly the follower's."""
    return tuple(v for v in follower.variables if v.name not in problem.free)


def answers(follower: Follower, problem: Stated, at: At, depths: dict[int, Depth] = SEARCH) -> tuple[Array, Array, At]:
    """The lowest valleys of a follower's problem at every x; violation infinite where an answer is at no bound's end.

    A follower of one variable gets the points of the grid besides, as a plateau's are answers too.
    """
    variables = own_variables(follower, problem)
    if not variables:
        return np.zeros((*np.shape(next(iter(at.values()))), 1)), np.zeros(1), {}
    depth = depths[len(variables)]
    violation, objective, arguments = least(lambda here: follower_score(follower, here), variables, at, depth)
    if len(variables) == 1:
        name = variables[0].name
        column = grid_of(variables[0], depth.points)[0]
        here = {key: value[..., None] for key, value in at.items()} | {name: column}
        also = [np.broadcast_to(part, (*objective.shape[:-1], column.size)) for part in follower_score(follower, here)]
        violation, objective = (
            np.concatenate(pair, axis=-1) for pair in zip((violation, objective), also, strict=True)
        )
        column = np.broadcast_to(column, also[0].shape)
        arguments = {name: np.concatenate([arguments[name], column], axis=-1)}
    for variable in variables:
        if variable.pieces:
            away = 1e-6 * variable.width
            value = arguments[variable.name]
            lost = (value < variable.pieces[0][0] + away) & variable.open_low
            lost |= (value > variable.pieces[-1][1] - away) & variable.open_high
            violation = np.where(lost, -1.0, violation)  # better than all, and no answer
    return violation, objective, arguments


def reaction(problem: Stated, at: At, depths: dict[int, Depth] = SEARCH) -> tuple[Array, Array, At]:
    """The leader's violation and F, minimised, where every follower answers as suits the leader."""
    here, lost = dict(at), False
    for position, follower in enumerate(problem.followers):
        violation, objective, arguments = answers(follower, problem, at, depths)
        if not arguments:
            continue
        unanswered = np.any((violation < 0) & (objective <= _lowest(violation, objective)[..., None]), axis=-1)
        allowed = violation == 0
        best = np.min(np.where(allowed, objective, np.inf), axis=-1, keepdims=True)
        tied = allowed & (objective <= best + TIE * _typical_excess(allowed, objective, best))
        lost = lost | unanswered | ~np.any(allowed, axis=-1)
        outer = {name: value[..., None] for name, value in here.items()} | arguments
        if position == len(problem.followers) - 1:
            above, cost = leader_score(problem, outer)
        else:
            above, cost = np.zeros(()), np.zeros(())
        above = np.where(tied, np.broadcast_to(above, tied.shape), np.inf)
        _, _, chosen = best_of(above, np.broadcast_to(cost, tied.shape), arguments)
        here |= chosen
    above, cost = leader_score(problem, here)
    return np.where(lost, np.inf, above), np.where(lost, np.inf, cost), here


def _typical_excess(allowed: Array, objective: Array, best: Array) -> Array:
    """What f varies by: the median, as an exponential's end is of no size that says anything about its valley."""
    sizes = np.sort(np.where(allowed & np.isfinite(objective), objective - best, np.inf), axis=-1)
    count = np.sum(np.isfinite(sizes), axis=-1, keepdims=True)
    median = np.take_along_axis(sizes, np.maximum(count - 1, 0) // 2, axis=-1)
    return np.where(np.isfinite(median), np.maximum(median, 0), 0)


def _lowest(violation: Array, objective: Array) -> Array:
    return np.min(np.where(violation <= 0, objective, np.inf), axis=-1)


def leader_score(problem: Stated, at: At) -> tuple[Array, Array]:
    """Violation of the upper rows, and F minimised."""
    cost = problem.sign * value_of(problem.objective, at) + np.longdouble(0)
    violation = violation_of(problem.rows, at)
    bad = ~np.isfinite(cost)
    return np.where(bad, np.inf, violation), np.where(bad, np.inf, cost)


# --------------------------------------------------------------------------------------------------------------- leader


def leader_variables(problem: Stated) -> tuple[Variable, ...]:
    """What the leader chooses: his own variables, and what a follower does not mention."""
    every = problem.variables
    return (*problem.upper, *(every[name] for name in problem.free))


def truth_of(problem: Stated) -> Truth:
    """The best witness that grids find, checked once more on a fine one."""
    if not all(variable.pieces for variable in problem.variables.values()):
        return Truth(None, {}, 1.0)
    leader = leader_variables(problem)
    costs: list[Array] = []

    def score(at: At) -> tuple[Array, Array]:
        violation, cost, _ = reaction(problem, at)
        if not costs:
            costs.append(cost[violation == 0])
        return violation, cost

    deep = any(len(own_variables(follower, problem)) > 1 for follower in problem.followers)
    _, _, best = best_of(*least(score, leader, {}, (BEFORE_TWO if deep else LEADER)[len(leader)]))
    violation, cost, here = reaction(problem, _around(leader, best), CHECK)
    spread = spread_of(costs[0] if costs else np.zeros(0))
    place = int(np.lexsort((cost, violation))[0])
    if violation[place] != 0:
        return Truth(None, {}, spread)
    witness = {name: float(value[place]) for name, value in here.items()}
    return Truth(problem.sign * float(cost[place]), witness, spread)


def _around(leader: Sequence[Variable], best: At) -> At:
    """The best point and its neighbours: where an answer jumps, the finer look may see the other side of the jump."""
    points = [best]
    for variable in leader:
        for away in (-1e-4, -1e-6, 1e-6, 1e-4):
            value = best[variable.name] + away * variable.width
            if any(low <= value <= high for low, high in variable.pieces):
                points.append({**best, variable.name: value})
    return {v.name: np.array([point[v.name] for point in points], dtype=np.longdouble) for v in leader}


def spread_of(costs: Array) -> float:
    """What F varies by over the points of the first grid, without its last tenth, where poles are."""
    costs = np.sort(costs[np.isfinite(costs)])
    if not costs.size:
        return 1.0
    return float(costs[int(0.9 * (costs.size - 1))] - costs[0]) or float(abs(costs[0])) or 1.0
