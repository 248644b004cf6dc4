"""The multipliers at a follower's answer, from the stationarity system of the constraints that are active there.

With f minimised and the active rows and bounds g, the weights solve ``grad f + sum_i w_i grad g_i = 0``, ``w_i >= 0``
where the upper side is active and ``w_i <= 0`` where the lower one is. They are unique where the active gradients are
linearly independent (LICQ; Nocedal and Wright 2006, 12.2), and a single one of them is unique wherever no linear
relation between the active gradients involves it. Elsewhere they are a set: one of its points is taken, and the answer
counts as unproved. They depend on the answer alone, not on the engine that found it.

Without a constraint qualification there may be none at the optimum, and large ones at a point that meets curved rows
only within the engine's tolerance: these are not believed.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.graphs.compiled import Compiled
from bilevel.programs.compilation import Compilation
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Program, Shape
from bilevel.reading.multipliers import Multiplier
from bilevel.reading.problem import Problem

_RANK = 1e-9  # a singular value below this, relative to the largest, is zero
_RESIDUAL = 1e-6  # of stationarity, relative to the gradient: an answer is right to some 1e-9, its square root at worst


class DualValues:
    """``dual_values(x, y, tied)`` writes the multipliers used above behind the followers' variables in y.

    Parameters
    ----------
    compilation : Compilation
        Of a problem whose upper level mentions multipliers.
    programs : dict of Program
        Each follower's, marked convex where that is proved.
    """

    def __init__(self, compilation: Compilation, programs: dict[str, Program]) -> None:
        problem = compilation.problem
        self._parts: list[tuple[slice, list[int], _Stationarity]] = []
        offset, first = 0, sum(len(f.variables) for f in problem.followers)
        for follower in problem.followers:
            place = slice(offset, offset + len(follower.variables))
            offset = place.stop
            ours = [k for k, m in enumerate(problem.multipliers) if m.follower == follower.name]
            if ours:
                wanted = [problem.multipliers[k] for k in ours]
                stationarity = _Stationarity(problem, programs[follower.name], follower.sense, wanted)
                self._parts.append((place, [first + k for k in ours], stationarity))

    def __call__(self, x: Array, y: Array, tied: Collection[str] = ()) -> str:
        """Why the values are not proved, or an empty text; NaN where there are none."""
        remarks = []
        for place, targets, stationarity in self._parts:
            y[targets], remark = stationarity(x, y[place])
            if not remark and stationarity.name in tied and not stationarity.convex:
                remark = f"{stationarity.name} is not known to be convex: another optimum may have other multipliers"
            remarks += [remark] if remark else []
        return "; ".join(remarks)


class _Stationarity:
    """One follower's system."""

    def __init__(self, problem: Problem, program: Program, sense: int, wanted: list[Multiplier]) -> None:
        follower = next(f for f in problem.followers if f.name == program.name)
        self.name, self.convex = program.name, _convex(program)
        self._program, self._sense = program, sense
        self._rows = [next(k for k, c in enumerate(follower.constraints) if c is m.constraint) for m in wanted]
        outputs = [program.objective, program.gradient, program.rows, program.jacobian]
        self._evaluate = Compiled([program.parameters, program.variables], outputs)

    def __call__(self, x: Array, y: Array) -> tuple[Array, str]:
        """The duals wanted, and why they are not to be relied on."""
        program = self._program
        objective, gradient, rows, jacobian = self._evaluate(x, y)
        values = np.concatenate([rows, y])
        low = np.concatenate([program.row_lower, program.lower])
        high = np.concatenate([program.row_upper, program.upper])
        at_low, at_high = _at(values, low), _at(values, high)
        active = np.flatnonzero(at_low | at_high)
        normals = np.vstack([jacobian.reshape(program.m, program.n, order="F"), np.eye(program.n)])[active].T
        least = np.where(at_low, -math.inf, 0.0)[active]
        most = np.where(at_high, math.inf, 0.0)[active]
        weights, free, residual = _solve(normals, -gradient, least, most)
        if residual > _RESIDUAL * tolerances.scale(float(np.abs(gradient).max(initial=0.0))):
            remark = f"{self.name} has no multipliers there: the gradients of its active constraints do not add up"
            return np.full(len(self._rows), math.nan), remark
        duals, loose = np.zeros(program.m + program.n), np.zeros(program.m + program.n, dtype=bool)
        duals[active], loose[active] = -self._sense * weights, free
        several = [program.row_names[k] for k in self._rows if loose[k]]
        remark = f"the multiplier of {', '.join(several)} is not unique there: one of several" if several else ""
        worth = tolerances.ENGINE * float(np.abs(weights).max(initial=0.0))  # what the engine's tolerance is worth in f
        if program.shape is Shape.NONLINEAR and worth > tolerances.OPTIMALITY * tolerances.scale(float(objective[0])):
            remark = f"{self.name} has a multiplier so large there that the engine's tolerance decides it"
        return duals[self._rows], remark


def _at(values: Array, bound: Array) -> NDArray[np.bool_]:
    finite = np.isfinite(bound)
    near: NDArray[np.bool_] = finite.copy()
    limit = bound[finite]
    near[finite] = np.abs(values[finite] - limit) <= tolerances.FEASIBILITY * np.maximum(1.0, np.abs(limit))
    return near


def _solve(normals: Array, target: Array, least: Array, most: Array) -> tuple[Array, Any, float]:
    """Weights with ``normals w = target`` within their signs, which of them may vary, and the residual."""
    count = normals.shape[1]
    if not count:
        return np.zeros(0), np.zeros(0, dtype=bool), float(np.abs(target).max(initial=0.0))
    left, singular, right = np.linalg.svd(normals)
    rank = int((singular > _RANK * max(1.0, singular.max(initial=0.0))).sum())
    weights = right[:rank].T @ ((left.T @ target)[:rank] / singular[:rank])
    free = (np.abs(right[rank:]) > math.sqrt(_RANK)).any(axis=0)
    slack = _RESIDUAL * tolerances.scale(float(np.abs(weights).max()))
    if rank < count and ((weights < least - slack) | (weights > most + slack)).any():
        with np.errstate(all="ignore"):  # on the way it divides by distances from bounds that it stands on
            weights = scipy.optimize.lsq_linear(normals, target, (least, most), tol=1e-14).x
    weights = np.clip(weights, least, most)
    return weights, free, float(np.abs(normals @ weights - target).max(initial=0.0))


def _convex(program: Program) -> bool:
    """Whether all optima share one set of multipliers: the program is convex."""
    if program.shape is not Shape.QUADRATIC:
        return program.convex or program.shape is Shape.LINEAR
    form = numeric_form(program)
    return program.convex or (form.constant_hessian and form.definiteness >= -tolerances.DEFINITE)
