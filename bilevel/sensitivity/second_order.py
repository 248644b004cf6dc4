"""Products with the Hessian of F(x, y(x)), two linear solves each, where every follower is an unconstrained quadratic.

With ``g = grad_y f`` and the adjoint v, ``H v = F_y``, the gradient is that of ``L(x, y, v) = F - v'g`` in x (see
:mod:`bilevel.sensitivity.hypergradient`). Differentiating it along d, with the answer's own motion ``H dy = -g_x d``,
gives

    H dv = D L_y [d, dy],      product = D L_x [d, dy] - g_x' dv

(second-order adjoints; Wang, Navon, Le Dimet and Zou 1992). H is factorized once per point.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise

import casadi as ca
import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from bilevel.arrays import Array
from bilevel.expressions.squares import Square, symbols_of
from bilevel.graphs.compiled import Compiled
from bilevel.linear_algebra.sparse_factor import SparseFactor
from bilevel.programs.compilation import Compilation
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Program, Shape
from bilevel.programs.sparse_form import SparseForm

Product = Callable[[Array], Array]


class SecondOrder:
    """``second_order(x, y)`` gives the function that multiplies with F's Hessian at x.

    Parameters
    ----------
    compilation : Compilation
        Of a problem that :meth:`takes`.
    """

    def __init__(self, compilation: Compilation) -> None:
        programs = list(compilation.programs.values())
        ends = list(accumulate((program.n for program in programs), initial=0))
        self._parts = [(slice(a, b), program) for (a, b), program in zip(pairwise(ends), programs, strict=True)]
        self._squares = [square for square in compilation.upper_squares if isinstance(square, Square)]
        x, y, q = compilation.x, compilation.all_y, symbols_of(self._squares)
        v, d, dy, dq = (ca.SX.sym(name, int(like.numel())) for name, like in zip("vdyq", (y, x, y, q), strict=True))
        upper = compilation.upper_short
        g = ca.vertcat(*(program.moving_gradient for program in programs))
        lagrangian = upper - ca.dot(v, g)
        slopes = [ca.gradient(lagrangian, x), ca.gradient(lagrangian, y), ca.gradient(upper, q)]
        along = [ca.jtimes(slope, ca.vertcat(x, y, q), ca.vertcat(d, dy, dq)) for slope in slopes]
        self._first = Compiled([x, y, q], [ca.gradient(upper, y), ca.gradient(upper, q)])
        self._motion = Compiled([x, y, d], [ca.jtimes(g, x, d)])
        self._along = Compiled([x, y, q, v, d, dy, dq], along)
        self._back = Compiled([x, y, v], [ca.gradient(ca.dot(v, g), x)])

    @staticmethod
    def takes(compilation: Compilation) -> bool:
        """Whether every follower is an unconstrained quadratic, squares weighed by numbers, and F holds no losses."""
        programs = compilation.programs
        if not all(isinstance(square, Square) for square in compilation.upper_squares):
            return False
        return len(programs) == len(compilation.y) and all(_plain(program) for program in programs.values())

    def __call__(self, x: Array, y: Array) -> Product | None:
        """The product at x, given the followers' stacked answers; None where a follower's Hessian is not definite."""
        x, y = x.copy(), y.copy()
        factors = []
        for place, program in self._parts:
            solve = _factorized(program, x)
            if solve is None:
                return None
            factors.append((place, solve))
        q = np.array([square.value(y) for square in self._squares])
        pulls = [np.zeros(len(y)) for _ in self._squares]
        for square, pull in zip(self._squares, pulls, strict=True):
            square.add_slope(1.0, y, pull)
        by_y, by_q = (values.copy() for values in self._first(x, y, q))
        v = _solve(factors, by_y + sum((w * pull for w, pull in zip(by_q, pulls, strict=True)), np.zeros(len(y))))

        def product(d: Array) -> Array:
            dy = -_solve(factors, self._motion(x, y, d)[0])
            dq = np.array([pull @ dy for pull in pulls])
            of_x, of_y, of_q = self._along(x, y, q, v, d, dy, dq)
            total, right = of_x.copy(), of_y.copy()
            for square, pull, weight, moved in zip(self._squares, pulls, by_q, of_q, strict=True):
                right += moved * pull
                square.add_curvature(float(weight), dy, right)
            return np.asarray(total - self._back(x, y, _solve(factors, right))[0])

        return product


def _plain(program: Program) -> bool:
    free = not program.has_inequalities and not program.m and not program.integer.any()
    if not free or program.shape is not Shape.QUADRATIC:
        return False
    return not program.squares or not ca.depends_on(program.weights, program.parameters)


def _factorized(program: Program, x: Array) -> Product | None:
    """The function that divides by a program's Hessian at x; None where that is not definite."""
    form = numeric_form(program).at(x)
    if isinstance(form, SparseForm):
        sparse = SparseFactor(form.upper)
        return sparse.solve if sparse.factorize(form.upper.data) and (sparse.pivots > 0.0).all() else None
    factor, failed = dpotrf(form.hessian)
    return None if failed else lambda right: np.asarray(dpotrs(factor, right)[0])


def _solve(factors: list[tuple[slice, Product]], right: Array) -> Array:
    found = np.empty(len(right))
    for place, solve in factors:
        found[place] = solve(right[place])
    return found
