"""A problem that falls into parts which share no variable: the hours of a market, the folds of several models.

``F = sum_k F_k(x_k, y_k)`` with followers, constraints and predicates that each speak of one k alone: the best x is
made of the best x_k, a bound on F is the sum of the bounds, and branch and bound over one part at a time costs the sum
of what it costs over each and not the product. Variables are joined by the terms of F, by constraints, predicates and
conditions, and by the terms and rows of the followers; what is left apart are the parts. So one follower whose f is a
sum over hours, with rows that each speak of one hour, is as many followers as there are hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyomo.environ as pyo

from bilevel.expressions.terms import scaled_terms
from bilevel.expressions.translation import mentioned
from bilevel.reading.follower import Follower
from bilevel.reading.problem import Problem
from bilevel.reading.structure import components_of

_MOST_PARTS = 60  # each is a clone of the whole model


def independent_parts(problem: Problem) -> list[Problem]:
    """The parts as problems of their own, at least two; none where there is but one, or nobody can tell.

    Parameters
    ----------
    problem : Problem
        As read. Its model stays as it is; each part has a clone of it, in which all else is deactivated.
    """
    if len(problem.variables) < 2 or any(follower.response is not None for follower in problem.followers):
        return []
    terms = [term for term, _ in scaled_terms(problem.objective.expr)]
    groups = _groups(problem, terms)
    if not 1 < len(groups) <= _MOST_PARTS:
        return []
    return [_part(problem, group, terms, first=place == 0) for place, group in enumerate(groups)]


def _groups(problem: Problem, terms: Sequence[Any]) -> list[set[int]]:
    """Ids of variables, apart; what has no follower or no upper variable of its own goes to the first."""
    nodes = [id(var) for var in (*problem.variables, *problem.lower_variables)]
    above, below = {id(var) for var in problem.variables}, problem.lower_ids
    whole: list[set[int]] = []
    rest: set[int] = set()
    for group in components_of(nodes, _joined(problem, terms)):
        if group.isdisjoint(above) or group.isdisjoint(below):
            rest |= group
        else:
            whole.append(group)
    if whole:
        whole[0] |= rest
    return whole


def _joined(problem: Problem, terms: Iterable[Any]) -> Iterator[list[int]]:
    """Variables that stand together somewhere."""
    for term in terms:
        yield list(mentioned([term]))
    for constraint in problem.constraints:
        yield list(mentioned([constraint.body]))
    for allowed in problem.allowed:
        yield [id(var) for var in allowed.variables if not var.fixed]
    for condition in problem.conditions:
        yield [id(var) for var in (condition.on, *condition.variables) if not var.fixed]
    for follower in problem.followers:
        own = {id(var) for var in follower.variables}
        for term, _ in scaled_terms(_objective(follower).expr):
            together = list(mentioned([term]))
            if not own.isdisjoint(together):  # what x alone costs moves no answer
                yield together
        for row in follower.written.constraints:
            priced = [id(m.variable) for m in problem.multipliers if m.constraint is row]
            yield [*mentioned([row.body]), *priced]


def _objective(follower: Follower) -> Any:
    """The objective as it stands on the block, whatever the follower goes by."""
    return next(follower.block.component_data_objects(pyo.Objective, active=True, descend_into=True))


def _part(problem: Problem, group: set[int], terms: Sequence[Any], *, first: bool) -> Problem:
    """One part on a clone; what mentions no variable at all is the first one's."""

    def ours(keys: Iterable[int]) -> bool:
        keys = list(keys)
        return not group.isdisjoint(keys) if keys else first

    model = problem.model.clone()
    objective = model.find_component(problem.objective.name)
    same = scaled_terms(objective.expr)
    kept = [factor * term for mine, (term, factor) in zip(terms, same, strict=True) if ours(mentioned([mine]))]
    objective.set_value(sum(kept))
    others = [c for c in problem.constraints if not ours(mentioned([c.body]))]
    others += [a for a in problem.allowed if not ours(id(var) for var in a.variables if not var.fixed)]
    others += [c for c in problem.conditions if not ours([id(c.on)])]
    for follower in problem.followers:
        own = {id(var) for var in follower.variables}
        if own.isdisjoint(group):
            others.append(follower.block)
        elif not own <= group:
            others += [row for row in follower.written.constraints if not ours(mentioned([row.body]))]
            _keep_of_objective(model, follower, group & own)
    for component in others:
        model.find_component(component.name).deactivate()
    return Problem.read(model, problem.attitude)


def _keep_of_objective(model: Any, follower: Follower, own: set[int]) -> None:
    """Leave to a follower, on a clone of his model, the terms that move his variables in this part."""
    stated = _objective(follower)
    same = model.find_component(stated.name)
    pairs = zip(scaled_terms(stated.expr), scaled_terms(same.expr), strict=True)
    kept = [factor * term for (mine, _), (term, factor) in pairs if not own.isdisjoint(mentioned([mine]))]
    same.set_value(sum(kept))
