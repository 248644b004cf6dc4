"""What makes two runs the same run: the model part by part, the space, and what the method was asked.

A compiled model is a graph of numbers and operations, and its serialization is the same in every process; so a hash of
each part finds a changed coefficient, and says which part it is in. What a response function computes cannot be hashed:
only its variables are compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import casadi as ca

from bilevel.contracts.settings import Settings
from bilevel.errors import StudyError
from bilevel.programs.compilation import Compilation
from bilevel.upper.dimension import Dimension, spelled
from bilevel.upper.space import Space


def identity_of(compilation: Compilation, space: Space, method: str, settings: Settings) -> dict[str, str]:
    """Every part of a run by a name a user understands, what comes first being told first where two runs differ.

    Parameters
    ----------
    compilation, space
        Of the model.
    method : str
        The search's name.
    settings : Settings
        Seed, options and terms of evaluation.
    """
    problem, options = compilation.problem, settings.options
    parts = {"method": method, "seed": str(settings.seed)}
    parts["options"] = ", ".join(f"{name}={options[name]!r}" for name in sorted(options)) or "none"
    if settings.pruner is not None:
        parts["pruner"] = _told(settings.pruner)
    if settings.repeats > 1:
        parts["repeats"] = str(settings.repeats)
    parts["attitude"] = str(problem.attitude)
    for dimension in space.dimensions:
        parts[f"the space of {dimension.name}"] = _described(dimension)
    told = [f"{space.names[c.place]} by {space.names[c.on]} {sorted(c.when)}" for c in space.conditions]
    parts["the conditions"] = "; ".join(told) or "none"
    parts["the upper objective"] = _hash(compilation, [compilation.upper_objective])
    for objective in problem.objectives:
        parts[f"the upper objective {objective.name}"] = _hash(compilation, [compilation.symbol(objective.expr, "F")])
    above = [*problem.x_only, *problem.coupling]
    parts["the upper constraints"] = _hash(compilation, list(compilation.written_rows(above)))
    parts["the predicates over x"] = ", ".join(allowed.name for allowed in problem.allowed) or "none"
    for follower in problem.followers:
        program = compilation.programs.get(follower.name)
        content: list[Any] = [", ".join(var.name for var in follower.variables)]
        if program is not None:
            content += [program.objective, program.rows, program.row_lower, program.row_upper]
            content += [program.lower, program.upper, program.integer]
        parts[f"the lower level {follower.name}"] = _hash(compilation, content)
    return parts


def insist_on_the_same(there: Mapping[str, str], here: Mapping[str, str], shown: str) -> None:
    """Refuse to go on with what another run stored.

    Raises
    ------
    StudyError
        That names the first difference.
    """
    for part in [*here, *there]:
        one, other = there.get(part, "none"), here.get(part, "none")
        if one != other:
            raise StudyError(
                f"{shown} holds the study of another run: {part} {_short(one)} there, {_short(other)} here;"
                f" give this run a study of its own, or name it: {shown.partition('#')[0]}#another"
            )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _told(pruner: Any) -> str:
    """A pruner's name, or the class of an object with what was asked of it; its address is no part of it."""
    if isinstance(pruner, str):
        return pruner
    plain = {k.lstrip("_"): v for k, v in vars(pruner).items() if isinstance(v, (bool, int, float, str, type(None)))}
    return f"{type(pruner).__name__}({', '.join(f'{name}={value!r}' for name, value in sorted(plain.items()))})"


def _described(dimension: Dimension) -> str:
    if dimension.values is None:
        kind = "integers" if dimension.integer else f"{dimension.scale} reals"
        return f"{kind} in [{dimension.lower!r}, {dimension.upper!r}]"
    text = json.dumps(list(dimension.values), default=spelled)
    return text if len(text) <= 200 else f"{len(dimension.values)} values, {_digest(text)}"


def _hash(compilation: Compilation, content: list[Any]) -> str:
    """Of symbols, arrays and text."""
    symbols = [part for part in content if isinstance(part, ca.SX)]
    rest = [part if isinstance(part, str) else part.tolist() for part in content if not isinstance(part, ca.SX)]
    graph = ca.Function("f", [compilation.x, compilation.all_y], symbols).serialize() if symbols else ""
    return _digest(graph + json.dumps(rest))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
