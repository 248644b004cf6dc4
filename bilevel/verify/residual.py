"""How far f can be from its best where it is strongly convex: ``|grad f|^2 / (2 m)``, without solving anything again.

With f - m |y|^2 / 2 convex, ``f(y) - min f <= |grad f(y)|^2 / (2 m)`` (Boyd and Vandenberghe 2004, 9.1.2). A ridge on
the coefficients of convex losses over rows gives m. The losses' slopes are those of the formula of one row,
differentiated by CasADi, not those that the engines go by; what rounding may have changed in a sum is added.
"""

from __future__ import annotations

import math

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.programs.program import Program, Shape

_EPS = float(np.finfo(float).eps)


class Residual:
    """Bounds how much f at a point exceeds its least value.

    Parameters
    ----------
    program : Program
        That :meth:`takes` takes.
    """

    def __init__(self, program: Program) -> None:
        self._program, rest = program, program.without_losses
        p, y = program.parameters, program.variables
        self._rest = ca.Function("rest", [p, y], [ca.densify(rest.gradient), ca.densify(rest.hessian)])
        self._weights = ca.Function("weights", [p], [ca.densify(q) for q in program.loss_weights])

    @staticmethod
    def takes(program: Program) -> bool:
        """Whether it is proved convex, without constraints, and a quadratic but for losses over rows."""
        free = program.convex and bool(program.losses) and not program.m and not program.bounded_variables.any()
        return free and not program.discrete and program.without_losses.shape is Shape.QUADRATIC

    def __call__(self, x: Array, y: Array, f: float) -> float:
        """The bound on what f at y, which is ``f``, exceeds its least by; infinite where nothing is known.

        So where the quadratic part is not definite, or something is no number.
        """
        slope, hessian = (value.full() for value in self._rest(x, y))
        eigenvalues = np.linalg.eigvalsh(hessian)
        modulus = float(eigenvalues[0]) - len(y) * _EPS * float(np.abs(eigenvalues).max())
        if not modulus > 0.0:
            return math.inf
        total, rounding = slope[:, 0], _EPS * np.abs(slope[:, 0])
        for term, q in zip(self._program.losses, self._weights.call([x]), strict=True):
            matrix, target = term.rows.matrix, term.rows.target
            z = matrix @ y[term.places]
            slopes = term.row.map(len(target))(z[None], target[None])[1].full()[0] * term.numbers * q.full()[:, 0]
            total[term.places] += slopes @ matrix
            rounding[term.places] += len(target) * _EPS * (np.abs(slopes) @ np.abs(matrix))
        bound = float(((np.abs(total) + rounding) ** 2).sum()) / (2.0 * modulus)
        return bound if math.isfinite(bound) else math.inf
