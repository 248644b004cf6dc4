"""Which words of a run are wrong, by the truth and by a look at the reported point that owes nothing to the package."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from contained_run import Outcome
from stated_problem import Follower, Stated, Variable, excess_of, value_of
from truth import CHECK, Truth, answers, follower_score, grid_of, own_variables, reaction

LOOSE = 1e-3  # of what F varies by: an error of F that is no matter of rounding
OUTSIDE = 1e-5  # of a variable's width, or of a row's magnitude
SUBOPTIMAL = 1e-5  # of what f varies by
SHARP = 1e-9
POINT = ("certified_global", "verified_local", "best_found")
MERE = ("noise", "truth_missed", "failed", "empty_failed")
"""What is told but is no wrong word: output on the screen, a truth that was beaten, no point where there is one."""


@dataclass(frozen=True)
class Fault:
    """A wrong word: its kind, and a sentence with the truth in it."""

    kind: str
    sentence: str


def margin(truth: Truth, cost: float) -> float:
    """Below which a difference of F is no fault."""
    return LOOSE * truth.spread + 1e-9 * abs(cost)


def faults_of(problem: Stated, truth: Truth, outcome: Outcome, limit: float) -> list[Fault]:
    """Every wrong word of a run."""
    found = []
    allowed = 1.1 * limit + 1.0
    if outcome.ended:
        found.append(
            Fault("no_end", f"ended after {outcome.cpu:.1f} s of CPU and {outcome.wall:.0f} s, limit {limit} s")
        )
    elif outcome.cpu > allowed:
        found.append(Fault("overrun", f"{outcome.cpu:.1f} s of CPU where {allowed:.1f} s are allowed"))
    if outcome.crash:
        found.append(Fault("traceback", outcome.crash.strip().splitlines()[-1]))
    if outcome.left:
        found.append(Fault("process_left", "; ".join(outcome.left)))
    if outcome.result is not None:
        found += _words(problem, truth, outcome.result)
    return found


def _words(problem: Stated, truth: Truth, result: dict[str, Any]) -> list[Fault]:
    verdict, found = result["verdict"], []
    if verdict == "infeasible" and truth.value is not None:
        found.append(Fault("false_infeasible", f"F = {truth.value:.9g} at {truth.witness}"))
    if verdict == "failed" and problem.expected == "point" and truth.value is not None:
        found.append(Fault("failed", f"F = {truth.value:.9g} at {truth.witness}; {'; '.join(result['notes'])[:300]}"))
    if verdict == "failed" and problem.expected == "empty":
        found.append(
            Fault("empty_failed", f"no value is allowed in {_empty(problem)}; {'; '.join(result['notes'])[:300]}")
        )
    if verdict == "unbounded" and problem.expected != "unbounded":
        found.append(Fault("false_unbounded", f"every variable that matters is bounded; the truth is {truth.value}"))
    if verdict == "certified_global" and problem.expected == "unbounded":
        found.append(Fault("false_certificate", "F is unbounded"))
    bound = result["bound"]
    if bound is not None and problem.expected == "unbounded":
        found.append(Fault("false_bound", f"bound {bound:.9g} where F is unbounded"))
    elif bound is not None and truth.value is not None:
        beaten = problem.sign * (bound - truth.value)
        if beaten > margin(truth, truth.value):
            kind = "false_certificate" if verdict == "certified_global" else "false_bound"
            found.append(Fault(kind, f"bound {bound:.9g}, but F = {truth.value:.9g} at {truth.witness}"))
    if verdict in POINT:
        found += _point(problem, truth, result)
    return found


def _point(problem: Stated, truth: Truth, result: dict[str, Any]) -> list[Fault]:
    """Faults of the reported point."""
    if problem.expected == "empty":
        return [Fault("point_of_empty", f"{result['verdict']}, but no value is allowed in {_empty(problem)}")]
    reported = {**result["upper"], **result["lower"]}
    try:
        values = {short: float(reported[name]) for name, short in problem.names.items()}
    except (KeyError, TypeError, ValueError) as error:
        return [Fault("no_values", f"the point cannot be read: {error!r}")]
    if not all(math.isfinite(value) for value in values.values()) or result["upper_objective"] is None:
        return [Fault("no_number", f"a value that is not finite: {values}, F = {result['upper_objective']}")]
    found = [
        Fault("outside", f"{name} = {values[name]:.9g} is not in its domain: {variable.declared}")
        for name, variable in problem.variables.items()
        if variable.distance(values[name]) > OUTSIDE * variable.width + 1e-9 * abs(values[name])
    ]
    for row in (*problem.rows, *(row for follower in problem.followers for row in follower.rows)):
        excess = float(excess_of(row, values))
        if not excess <= OUTSIDE * _magnitude(problem, row):
            found.append(Fault("row_violated", f"{row} is violated by {excess:.3g} at {values}"))
    stated, cost = float(result["upper_objective"]), float(value_of(problem.objective, values))
    if not abs(stated - cost) <= margin(truth, cost):
        found.append(Fault("wrong_F", f"F is {cost:.9g} at the point and not {stated:.9g}"))
    if found:
        return found
    too_good = truth.value is not None and problem.sign * (truth.value - cost) > margin(truth, cost)
    late = (
        truth.value is not None
        and result["verdict"] == "certified_global"
        and problem.sign * (cost - truth.value) > margin(truth, cost)
    )
    if late:
        found.append(Fault("false_certificate", f"F = {cost:.9g}, but {truth.value:.9g} at {truth.witness}"))
    for follower in problem.followers:
        found += _answer(problem, truth, follower, values, too_good, cost)
    if too_good and not found:
        found.append(Fault("truth_missed", f"F = {cost:.9g} stands, and the truth held {truth.value:.9g} for the best"))
    return found


def _empty(problem: Stated) -> str:
    return "; ".join(f"{v.name}: {v.declared}" for v in problem.variables.values() if not v.pieces)


def _answer(
    problem: Stated, truth: Truth, follower: Follower, values: dict[str, float], too_good: bool, cost: float
) -> list[Fault]:
    """Whether the reported y is this follower's answer at the reported x."""
    own = own_variables(follower, problem)
    if not own:
        return []
    names = {v.name for v in own}
    at = {k: np.array([v], dtype=np.longdouble) for k, v in values.items() if k not in names}
    violation, objective, arguments = answers(follower, problem, at, CHECK)
    reported = {k: np.array([v], dtype=np.longdouble) for k, v in values.items()}
    f = float(follower_score(follower, reported)[1][0])
    usable = violation <= 0
    if not usable.any():
        return []  # x lies where no point of the grid is feasible: the rows were looked at above
    best = float(np.min(np.where(usable, objective, np.inf)))
    excess, varies = f - best, _varies(follower, {v.name: v for v in own}, at)
    place = int(np.argmin(np.where(usable, objective, np.inf)))
    there = {name: float(argument.ravel()[place]) for name, argument in arguments.items()}
    _, costs, _ = reaction(problem, {k: reported[k] for k in reported if k in _leaders(problem)}, CHECK)
    moved = abs(problem.sign * cost - float(costs[0]))
    # At an x right at a jump f hardly varies in y: what the last digits of x move it by is no fault.
    allowed = max(SUBOPTIMAL * varies, SHARP * _varies(follower, problem.variables))
    if excess > allowed and not moved <= margin(truth, cost):
        sentence = f"{follower.name}'s f is {f:.12g} at {values}, and {best:.12g} at {there}"
        return [Fault("not_optimal_below", sentence)]
    if too_good and excess > SHARP * varies:
        sentence = f"F = {cost:.9g} is better than any answer's, {truth.value:.9g}: f is {excess / varies:.1e} of its range too large"
        return [Fault("too_good", sentence)]
    return []


def _leaders(problem: Stated) -> set[str]:
    return {v.name for v in problem.upper} | set(problem.free)


def _varies(follower: Follower, moved: dict[str, Variable], at: dict[str, Any] | None = None) -> float:
    """What f varies by as these variables move, at an x or over all of them: from its best to its median over the box."""
    rng = np.random.default_rng(0)
    here = {name: value.ravel()[0] for name, value in (at or {}).items()}
    here |= {name: rng.choice(grid_of(v, 401)[0], 2000) for name, v in moved.items()}
    violation, objective = (np.broadcast_to(part, 2000) for part in follower_score(follower, here))
    inside = np.isfinite(objective) & (violation <= 0)
    values = objective[inside] if inside.sum() > 20 else objective[np.isfinite(objective)]
    return float(np.median(values) - np.min(values)) if values.size else 1.0


def _magnitude(problem: Stated, row: str) -> float:
    """The median size of a row's excess over the box."""
    rng = np.random.default_rng(0)
    at = {name: rng.choice(grid_of(v, 200)[0], 300) for name, v in problem.variables.items() if v.pieces}
    sizes = np.abs(np.atleast_1d(excess_of(row, at)).astype(float))
    sizes = sizes[np.isfinite(sizes)]
    return float(np.median(sizes)) if sizes.size else 0.0


def quality(problem: Stated, truth: Truth, outcome: Outcome) -> str:
    """How good a run was that said nothing wrong."""
    if outcome.result is None:
        return "refused" if outcome.refusal else "nothing"
    verdict = str(outcome.result["verdict"])
    if verdict not in POINT or truth.value is None:
        return verdict
    away = problem.sign * (float(outcome.result["upper_objective"]) - truth.value)
    return verdict if away <= 10 * margin(truth, truth.value) else f"{verdict}, worse"
