"""The answer of a quadratic program without inequalities as a formula: a sparse ``L D L'`` written out in symbols.

``[H A'; A 0] [y; m] = [-c; b]`` is factorized operation by operation, in an order that keeps the factor sparse
(approximate minimum degree: Amestoy, Davis and Duff 1996, doi 10.1137/S0895479894278952), the variables before the
rows. Then all pivots of H are positive and all of the rows negative wherever H is definite and the rows independent,
and no pivot has to be chosen at run time. A banded, arrow-shaped or block-diagonal H of a thousand variables is some
ten thousand operations, a fraction of what a dense factorization only reads.
"""

from __future__ import annotations

import casadi as ca
import numpy as np

from bilevel.programs.answer import ClosedForm
from bilevel.programs.program import Program

_ALWAYS = 4_000  # operations that are faster than any call of LAPACK
_MOST = 25_000  # beyond which building the formula takes a second, more than the faster answers give back
_PIVOT = 1e-14
"""Of H, relative to its own entry on the diagonal: the rounding of that, in whatever units (Higham, *Accuracy and
Stability*, theorem 10.6)."""
_PIVOT_BEFORE_ROWS = 1e-6
"""The same where rows are eliminated behind it: what H hides in flat directions would come back as their violation."""
_PIVOT_OF_ROWS = 1e-8  # of a row, relative to ``a' H^-1 a``: below it the rows count as dependent


def closed_form(program: Program) -> ClosedForm | None:
    """The formula, or None where the operations are too many or H is singular whatever the parameters.

    Parameters
    ----------
    program : Program
        Quadratic, its rows equalities, its variables unbounded.
    """
    hessian = program.hessian
    if not _full_diagonal(hessian.sparsity()):
        return None
    n, m = program.n, program.m
    jacobian = program.jacobian if m else ca.SX(0, n)
    system = ca.vertcat(ca.horzcat(hessian, jacobian.T), ca.horzcat(jacobian, ca.SX(ca.Sparsity.diag(m), 0.0)))
    order = _order(system.sparsity(), n)
    system = system[order, order]
    operations = _operations(system.sparsity())
    if operations > max(_ALWAYS, min(_MOST, (n + m) ** 2)):
        return None
    zero = ca.SX.zeros(n, 1)
    slope, level = ca.substitute([program.gradient, program.objective], [program.variables], [zero])
    target = ca.SX(program.row_lower) - ca.substitute(program.rows, program.variables, zero) if m else ca.SX(0, 1)
    pivots, upper, _ = ca.ldl(system, False)
    solved = ca.ldl_solve(ca.densify(ca.vertcat(-slope, target))[order], pivots, upper, list(range(n + m)))
    y, multipliers = ca.vertsplit(solved[np.argsort(order).tolist()], [0, n, n + m])
    objective = level + 0.5 * (ca.dot(slope, y) - ca.dot(target, multipliers))
    return ClosedForm(y, objective, _margin(system, pivots, upper, n, m))


def _margin(system: ca.SX, pivots: ca.SX, upper: ca.SX, n: int, m: int) -> ca.SX:
    """Above zero where every pivot has the sign it should have, beyond rounding."""
    diagonal = ca.diag(system)
    least = _PIVOT_BEFORE_ROWS if m else _PIVOT
    margins = [pivots[:n] - least * diagonal[:n]]
    if m:
        own = ca.mtimes((upper[:n, n:] ** 2).T, pivots[:n])
        margins.append(-pivots[n:] - _PIVOT_OF_ROWS * own)
    return ca.mmin(ca.vertcat(*margins))


def _order(pattern: ca.Sparsity, n: int) -> list[int]:
    """A fill-reducing order of variables and rows, all of the variables first."""
    ranked = pattern.amd()
    return [k for k in ranked if k < n] + [k for k in ranked if k >= n]


def _operations(pattern: ca.Sparsity) -> int:
    """How many operations factorizing and solving take, from the pattern of the factor alone."""
    upper, _ = pattern.ldl(False)
    below = np.bincount(np.asarray(upper.row(), dtype=int), minlength=pattern.size1())
    return int((below * (below + 1) + 5 * below + 8).sum())


def _full_diagonal(pattern: ca.Sparsity) -> bool:
    return all(pattern.has_nz(k, k) for k in range(pattern.size1()))
