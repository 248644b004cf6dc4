"""Why there is no point: which level, which constraint, and what to do about it.

Parts of the problem are left away one after the other until a point appears: first all but the leader's constraints
over x alone, then the followers' optimality and the coupling constraints, then the coupling constraints, then each of
these by itself (deletion filtering, Chinneck and Dravnieks 1991, doi 10.1287/ijoc.3.2.157).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import casadi as ca
import numpy as np

from bilevel import registry
from bilevel.contracts.engine import Engine
from bilevel.errors import BilevelError
from bilevel.programs.answer import Status
from bilevel.programs.program import Program
from bilevel.reading.problem import Problem
from bilevel.solvers.single_level.global_proof import proving_engine
from bilevel.solvers.single_level.high_point import HighPoint
from bilevel.solvers.single_level.treated_model import TreatedModel

_MOST = 20  # coupling constraints that are left away one by one
_SECONDS = 5.0  # for one question


def why_infeasible(problem: Problem, seconds: float) -> str:
    """Name the level and the constraint that leave no point of an infeasible problem.

    Parameters
    ----------
    problem : Problem
        Proved infeasible.
    seconds : float
        For finding out; without an answer by then the words are general.
    """
    until = time.monotonic() + seconds
    try:
        return _why(problem, until)
    except BilevelError:
        return "no x has an answer of the followers that meets the upper constraints"


def _why(problem: Problem, until: float) -> str:
    followers = ", ".join(follower.name for follower in problem.followers)
    coupling = [constraint.name for constraint in problem.coupling]
    below = [c.name for follower in problem.followers for c in follower.constraints]
    if _empty(_high_point(problem, [*coupling, *below]), until):
        names = _some(c.name for c in problem.x_only) or "the variables' domains"
        return f"upper level: no x meets {names}; relax one of them"
    if _empty(_high_point(problem, coupling), until):
        return f"lower level: {followers} has no feasible point at any x; look at {_some(below)}"
    if all(var.is_continuous() for var in problem.lower_variables):  # there are optimality conditions
        if _empty(TreatedModel(_without(problem, coupling), "sos1").program, until):
            return f"lower level: {followers} is feasible but has no optimum at any x: its objective is unbounded"
        for name in coupling[:_MOST] if len(coupling) > 1 else ():
            if not _empty(TreatedModel(_without(problem, [name]), "sos1").program, until):
                return f"upper level: {name} holds at no answer of {followers}; without it there are points"
    return f"upper level: no answer of {followers} meets {_some(coupling)}; relax them, or bound the follower instead"


def _high_point(problem: Problem, left_out: list[str]) -> Program:
    model = _without(problem, left_out)
    return HighPoint(model).program


def _without(problem: Problem, names: Iterable[str]) -> Problem:
    model = problem.model.clone()
    for name in names:
        model.find_component(name).deactivate()
    return Problem.read(model)


def _empty(program: Program, until: float) -> bool:
    """Whether a program is proved to have no point."""
    left = until - time.monotonic()
    if left <= 0.0:
        return False
    asked = replace(program, objective=ca.SX(0.0))
    engine: Any = registry.get(Engine, proving_engine(asked, "auto"))()
    answer = engine.prepare(asked)(np.zeros(0), None, min(left, _SECONDS))
    return bool(answer.status is Status.INFEASIBLE)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "")
