"""What was declared to be evaluated for the answer alone, once the answer stands on the model."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from bilevel.api.practice.of_the_test import of_the_test
from bilevel.errors import BilevelError
from bilevel.language.domains import Allowed, give
from bilevel.language.lower_level import LowerLevel
from bilevel.language.trials.once import reported_of
from bilevel.programs.answer import Status
from bilevel.reading.problem import Problem, asked_once
from bilevel.response.response import Response
from bilevel.results.result import Result


def report(problem: Problem, result: Result) -> None:
    """Write down the values, after followers that they alone mention have answered."""
    model = problem.model if problem.source is None else problem.source
    expressions = reported_of(model)
    if not expressions or not result.verdict.holds_a_point:
        return
    result.notes += of_the_test(problem, model)
    for block in asked_once(model):
        complaint = _answer(model, block, result.upper)
        if complaint:
            result.notes.append(f"{block.name}, asked for the answer alone, gave none: {complaint}")
            return
    for name, body in expressions.items():
        result.reported[name] = _value(result, body)


def _value(result: Result, body: Any) -> float | None:
    """By the compiled walk, which looks at a shared Expression once, where it knows every variable."""
    try:
        return float(result.value(body))
    except BilevelError:
        value = pyo.value(body, exception=False)
        return None if value is None else float(value)


def _answer(model: Any, block: Any, upper: dict[str, Any]) -> str:
    """Leave a follower's answer at the upper point on the model, or say why there is none."""
    clone = model.clone()
    mine = clone.find_component(block)
    for other in clone.component_data_objects(LowerLevel, active=True, descend_into=True):
        if other is not mine:
            other.deactivate()
    for part in clone.component_objects((pyo.Constraint, pyo.Objective, Allowed), active=True, descend_into=True):
        part.deactivate()
    own = list(mine.component_data_objects(pyo.Var, descend_into=True))
    clone.add_component("_bilevel_report", pyo.Objective(expr=sum(own)))
    try:
        response = Response(Problem.read(clone))
        reply = response({name: upper[name] for name in (v.name for v in response.problem.variables)})
    except BilevelError as error:
        return str(error)
    if reply.status is not Status.OPTIMAL or reply.y is None:
        return reply.message or str(reply.status)
    for name, value in response.lower_values(reply.y).items():
        give(model.find_component(name), value)
    return ""
