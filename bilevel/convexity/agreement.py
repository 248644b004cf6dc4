"""Whether leader and follower want the same of y: F and what couples the levels move with it as f does.

Where ``F = h(x) + w f(x, y)`` with w > 0 (or w = 0 in the presence of rows that count), and every row of the leader's
that mentions y is ``g(x) + v f(x, y) <= 0`` with v > 0, a smaller f is never worse for the leader. Then both levels are
one problem, the best (x, y) over both levels' constraints: whatever y stands in it, the follower's optimum has an F no
worse and keeps the rows. A budget split for the largest response, of which the leader earns a share, or that has to
reach a target, is of this kind.
"""

from __future__ import annotations

import math
from typing import Any

import casadi as ca

from bilevel.programs.compilation import Compilation

_SAME = 1e-12  # relative: how far apart two weights may be that are one but for rounding

_SUMS = {ca.OP_NEG: -1.0, ca.OP_TWICE: 2.0, ca.OP_ASSIGN: 1.0}

Weights = dict[Any, float]
"""Of what is not a sum, by what it is made of; under None a constant."""


_KEPT = "_agreement"


def agreement_of(compilation: Compilation) -> dict[str, float] | None:
    """The weight of each follower's objective in F, all positive; None where the levels do not agree.

    Decided on the formulas, term by term: terms are the same where they are built alike. Found once, and kept with the
    compilation.
    """
    kept = compilation.__dict__
    if _KEPT not in kept:
        kept[_KEPT] = _found(compilation)
    found: dict[str, float] | None = kept[_KEPT]
    return found


def _found(compilation: Compilation) -> dict[str, float] | None:
    problem, programs = compilation.problem, compilation.programs
    if problem.multipliers or any(name not in programs for name in compilation.y):
        return None
    if any(program.squares or program.moving or program.losses for program in programs.values()):
        return None  # of data, which nothing here writes out
    bodies, low, high = compilation.written_rows(problem.coupling)
    rows = [bodies[k] for k in range(bodies.numel())]
    objectives = [programs[name].objective for name in compilation.y]
    upper, *others = _sums(compilation, [compilation.upper_objective, *objectives, *rows])
    lower = dict(zip(compilation.y, others, strict=False))
    weights = _weights(upper, lower)
    if weights is None or any(weight < 0.0 for weight in weights.values()):
        return None
    for row, least, most in zip(others[len(lower) :], low, high, strict=True):
        found = _weights(row, lower)
        if found is None or not _keeps(found, float(least), float(most)):
            return None
        weights = {name: weight or abs(found[name]) for name, weight in weights.items()}
    return weights if all(weights.values()) else None


def _keeps(weights: dict[str, float], least: float, most: float) -> bool:
    """Whether a row that holds at some f holds at every smaller one."""
    falling = all(weight <= 0.0 for weight in weights.values())
    rising = all(weight >= 0.0 for weight in weights.values())
    return (math.isinf(least) or falling) and (math.isinf(most) or rising)


def _weights(function: Weights, lower: dict[str, Weights]) -> dict[str, float] | None:
    """What each lower objective is multiplied with in a function; None where y moves it in another way."""
    left = {term: weight for term, weight in function.items() if _moves(term)}
    weights = {}
    for name, terms in lower.items():
        own = {term: weight for term, weight in terms.items() if _moves(term)}
        first = next((term for term in own if term in left), None)
        weights[name] = weight = 0.0 if first is None else left[first] / own[first]
        for term, each in own.items() if weight else ():
            left[term] = left.get(term, 0.0) - weight * each
    largest = max((abs(weight) for weight in function.values()), default=1.0)
    return weights if all(abs(rest) <= _SAME * largest for rest in left.values()) else None


def _moves(term: Any) -> bool:
    """Whether a term depends on some y; it says so first."""
    return term is not None and bool(term[0])


def _sums(compilation: Compilation, functions: list[ca.SX]) -> list[Weights]:
    """Each function as a weighted sum of terms that are no sums themselves."""
    graph = ca.Function("functions", [compilation.x, compilation.all_y], functions, {"cse": True})
    slots: dict[int, Weights] = {}
    numbers: dict[Any, tuple[bool, int]] = {}  # a term in short: whether y moves it, and its number
    outputs: list[Weights] = [{} for _ in functions]

    def term(moves: bool, made_of: Any) -> Weights:
        return {numbers.setdefault(made_of, (moves, len(numbers))): 1.0}

    for k in range(graph.n_instructions()):
        op, inputs, targets = graph.instruction_id(k), graph.instruction_input(k), graph.instruction_output(k)
        if op == ca.OP_OUTPUT:
            outputs[targets[0]] = slots[inputs[0]]
        elif op == ca.OP_CONST:
            slots[targets[0]] = {None: float(graph.instruction_constant(k))}
        elif op == ca.OP_INPUT:
            slots[targets[0]] = term(inputs[0] == 1, ("symbol", *inputs))
        else:
            args = [slots[i] for i in inputs]
            found = _combined(op, args)
            if found is None:
                moves = any(_moves(key) for arg in args for key in arg)
                found = term(moves, (op, *(frozenset(arg.items()) for arg in args)))
            slots[targets[0]] = found
    return outputs


def _combined(op: int, args: list[Weights]) -> Weights | None:
    """Sums and multiples; None for all else."""
    a, b = args[0], args[-1]
    if op in (ca.OP_ADD, ca.OP_SUB):
        sign = 1.0 if op == ca.OP_ADD else -1.0
        total = dict(a)
        for key, weight in b.items():
            total[key] = total.get(key, 0.0) + sign * weight
        return {key: weight for key, weight in total.items() if weight}
    factor = _SUMS.get(op)
    if op == ca.OP_MUL and (set(a) <= {None} or set(b) <= {None}):
        number, a = (a, b) if set(a) <= {None} else (b, a)
        factor = number.get(None, 0.0)
    if op == ca.OP_DIV and set(b) == {None}:
        factor = 1.0 / b[None]
    return None if factor is None else {key: factor * weight for key, weight in a.items() if factor}
