"""The global phase of the KKT path: one engine on the exact model, its bound, and what may be concluded.

What the bound is worth. SCIP accepts points whose rows are off by 1e-7 (relative to the right-hand side) and prunes
by the value of such points. Both enlarge what it minimises over, so its bound errs below the true optimum, by the
tolerance times a multiplier: the safe side. What errs on the other side is rounding in its linear programs, orders
below the 1e-5 (``tolerances.CERTIFICATE``) up to which a bound is claimed to close. "Infeasible" likewise is said of
the rows with that slack added. F itself is never taken from SCIP's point but computed at a lower level solved again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import casadi as ca
import numpy as np

from bilevel import registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine
from bilevel.contracts.observer import Observer
from bilevel.errors import RefusedError
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program
from bilevel.solvers.single_level.treated_model import TreatedModel

LARGEST_GRAPH = 10_000
"""Instructions in a compiled model up to which branch and bound has a chance; beyond, it runs only if asked for."""

FAR = 1e7
"""F below minus this at a verified point, next to a solver's claim, counts as unbounded."""

_PROVING = 0.5  # engines that suit a program better than this prove their answer (contracts.Engine.suits)


def proving_engine(program: Program, wanted: str) -> str:
    """The engine for a program: the one that was asked for, or the best that proves its answer.

    Raises
    ------
    RefusedError
        If the engine asked for does not take the program, or none that proves does.
    """
    if wanted != "auto":
        if registry.get(Engine, wanted)().suits(program) == 0.0:
            sets = " with special ordered sets" if program.sos1 else ""
            raise RefusedError(
                f"engine={wanted!r} does not take the single-level model, a {program.describe()}{sets};"
                " use engine='scip', or complementarity='scholtes' with a local engine"
            )
        return wanted
    ranked = sorted((registry.get(Engine, name)().suits(program), name) for name in registry.catalogue(Engine))
    if ranked[-1][0] <= _PROVING:
        raise RefusedError(
            "no engine proves anything about the single-level model: it holds a function outside SCIP's vocabulary;"
            " use complementarity='scholtes' for a local solution"
        )
    return ranked[-1][1]


def size_of(program: Program) -> int:
    """Number of instructions in the compiled graph."""
    outputs = [program.objective, program.rows]
    return int(ca.Function("size", [program.parameters, program.variables], outputs, {"cse": True}).n_instructions())


class GlobalSolve:
    """Runs one engine on a treated model and passes on what it learns.

    Parameters
    ----------
    treated : TreatedModel
        Under an exact treatment.
    engine : str
        Its name.
    observer : Observer
        Hears of bounds.
    bound_counts : bool
        Whether a bound on the model is one on the problem.
    """

    def __init__(self, treated: TreatedModel, engine: str, observer: Observer, bound_counts: bool) -> None:
        self._treated = treated
        self._engine = registry.get(Engine, engine)()
        self._observer = observer
        self._counts = bound_counts

    def __call__(self, start: Array | None, time_limit: float | None) -> Answer:
        """Solve to global optimality, or as far as the time goes."""
        solver = self._engine.prepare(self._treated.program)
        solver.watch = self._watch()
        solver.gap = tolerances.CERTIFICATE / 2  # the other half is for what solving the lower level again may change
        return solver(np.zeros(0), start, time_limit)

    def _watch(self) -> Callable[[float, float], None]:
        sense, seen = self._treated.single.sense, [math.inf, -math.inf]

        def watch(incumbent: float, bound: float) -> None:
            if [incumbent, bound] != seen:
                seen[:] = [incumbent, bound]
                self._observer.bounded(_user(incumbent, sense), _user(bound, sense) if self._counts else None)

        return watch

    def far_point(self, time_limit: float | None, far: float = FAR) -> Answer:
        """A point with F below ``-far``, far from any sensible number: what backs up a claim of unboundedness."""
        program = self._treated.program
        probe = replace(
            program,
            objective=ca.SX(0.0),
            rows=ca.vertcat(program.rows, program.objective),
            row_lower=np.append(program.row_lower, -math.inf),
            row_upper=np.append(program.row_upper, -far),
            row_names=(*program.row_names, "far"),
        )
        engine = registry.get(Engine, proving_engine(probe, "auto"))()
        answer = engine.prepare(probe)(np.zeros(0), None, time_limit)
        return answer if answer.y is not None else Answer(Status.FAILED, message=answer.message)


def _user(value: float, sense: int) -> float | None:
    """A minimised value in the user's sense; None where there is none."""
    return sense * value if math.isfinite(value) else None
