"""Tubes around the answers of followers with absolute values: kinks as they are, not as rows of an epigraph.

For ``f(x, w) + sum_j c_j(x) |w_j|`` with f strongly convex in w and ``c >= 0`` the monotonicity of f_w and of the
subdifferential gives, for any guess p(x) and any ``g_j(x)`` in the subdifferential of ``|p_j(x)|``,

    |w(x) - p(x)|_H  <=  |f_w(x, p) + c g|_{H^-1},

the inequality of :mod:`.answer_tubes` with a kink in place of a polyhedron; at one point it is the bound of Ndiaye, Le,
Fercoq, Salmon and Takeuchi (2019, "Safe Grid Search with Optimal Complexity") with the gap's first order in place of
its root. p is the polynomial of the signs at the box's centre; g is that sign where p keeps it on the whole box, and
whatever number between -1 and 1 is best where p is zero throughout.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.expressions.row_terms import RowTerm
from bilevel.expressions.squares import Places, Square
from bilevel.graphs.intervals import Interval
from bilevel.graphs.taylor import Taylor
from bilevel.graphs.taylor_graph import TaylorGraph
from bilevel.programs.compilation import Compilation, free_program
from bilevel.programs.program import Program
from bilevel.solvers.boxes.answer_tubes import AnswerTubes
from bilevel.solvers.boxes.epigraph_bends import with_bends
from bilevel.solvers.boxes.polynomial_answer import PolynomialAnswer
from bilevel.solvers.boxes.tube import Tube

_ZERO = 1e-9  # a coefficient below this, relative to the largest, starts as zero: a guess, no more


def tubes_of(compilation: Compilation, box: Sequence[Interval], taylor: Taylor) -> list[AnswerTubes | KinkedTubes]:
    """Tubes for every follower, in the problem's order."""
    upper = compilation.rows(compilation.problem.constraints)[0]
    seen = ca.vertcat(compilation.upper_short, upper, *(term.variables for term in compilation.upper_squares))
    found: list[AnswerTubes | KinkedTubes] = []
    for program in compilation.programs.values():
        kinks = _kinks(program)
        tops = program.variables[[place for place, _ in program.tops]]
        if kinks is None or ca.depends_on(seen, tops):
            found.append(AnswerTubes(with_bends(program, box), taylor))
        else:
            found.append(KinkedTubes(program, kinks, taylor))
    return found


def _kinks(program: Program) -> NDArray[np.int_] | None:
    """Of each absolute value the place of its variable; None where the program is of another kind."""
    if not program.tops or program.m != 2 * len(program.tops):
        return None
    if np.isfinite(program.lower).any() or np.isfinite(program.upper).any() or program.row_upper.any():
        return None
    if not np.isneginf(program.row_lower).all() or program.discrete or program.moving:
        return None
    tops = [place for place, _ in program.tops]
    if ca.depends_on(ca.jacobian(program.short, program.variables[tops]), program.variables):
        return None
    jacobian = ca.jacobian(program.rows, program.variables)
    at_zero = ca.substitute(program.rows, program.variables, ca.SX.zeros(program.n, 1))
    if not jacobian.is_constant() or not (at_zero.is_constant() and ca.DM(at_zero).is_zero()):
        return None
    rows = np.asarray(ca.DM(jacobian).full())
    found = []
    for place, (one, other) in program.tops:
        entries = np.flatnonzero(rows[one])
        own = entries[entries != place]
        even = len(own) == 1 and abs(rows[one, own[0]]) == 1.0 and own[0] not in tops
        mirrored = rows[one].copy()
        mirrored[own] *= -1.0
        if not even or rows[one, place] != -1.0 or not np.array_equal(rows[other], mirrored):
            return None
        found.append(int(own[0]))
    return np.array(found) if len(set(found)) == len(found) else None


class KinkedTubes:
    """Makes tubes for one follower.

    Parameters
    ----------
    program : Program
        The follower's, with the epigraphs of its absolute values.
    kinks : ndarray of int
        Of each epigraph's variable, whose absolute value it is.
    taylor : Taylor
        The arithmetic.

    Raises
    ------
    RefusedError
        If f is not of the kind that has tubes.
    """

    def __init__(self, program: Program, kinks: NDArray[np.int_], taylor: Taylor) -> None:
        self.program = program
        tops = [place for place, _ in program.tops]
        self._own = np.setdiff1d(np.arange(program.n), tops)
        w, t = program.variables[self._own.tolist()], program.variables[tops]
        places = Places(w)
        held: tuple[Square | RowTerm, ...] = (*program.squares, *program.losses)
        terms = [own for own in (term.within(places) for term in held) if own is not None]
        short = ca.substitute(program.short, t, ca.SX.zeros(len(tops), 1))
        core = free_program(program.name, program.parameters, w, short, terms)
        costs = ca.densify(ca.jacobian(program.short, t).T)
        self._core = _Core(core, taylor, np.searchsorted(self._own, kinks), costs)
        self.quadratic = self._core.quadratic

    def __len__(self) -> int:
        return len(self._core)

    @property
    def room(self) -> int:
        """Numbers held per box, roughly."""
        return self._core.room

    def __call__(self, x: Array, y: Array) -> Tube:
        """Tubes from answers at the centres, as those of :class:`~bilevel.solvers.boxes.answer_tubes.AnswerTubes`.

        What is said of the epigraphs' variables, which nobody above sees, is nothing.
        """
        found = self._core.at(x, y[self._own])(x, y[self._own])
        n, own, boxes = self.program.n, self._own, y.shape[1]
        model, inverse, reach = np.zeros((len(x), n, boxes)), np.zeros((boxes, n, n)), np.zeros((n, boxes))
        model[:, own], reach[own] = found.model, found.reach
        inverse[:, own[:, None], own] = found.inverse
        return Tube(model, found.delta, inverse, reach, found.sway)

    def flat(self, x: Array, y: Array) -> Array | None:
        """The centre of a box at which the Hessian is not definite beyond rounding, or None."""
        return self._core.flat(x, y[self._own])


class _Core(AnswerTubes):
    """The same without the epigraphs, with signs.

    Parameters
    ----------
    program : Program
        Of f, in w alone.
    taylor : Taylor
        The arithmetic.
    kinks : ndarray of int
        Which of w have an absolute value.
    costs : SX of shape (len(kinks), 1)
        What it costs, a function of x.
    """

    def __init__(self, program: Program, taylor: Taylor, kinks: NDArray[np.int_], costs: ca.SX) -> None:
        super().__init__(program, taylor)
        self._kinks, self._costs = kinks, TaylorGraph(taylor, [program.parameters], costs)

    def at(self, x: Array, w: Array) -> _Core:
        """The same with the signs that answers have, shape (n, boxes)."""
        found = copy.copy(self)
        size = np.abs(w).max(axis=0, initial=0.0)
        found._signs = np.where(np.abs(w) > _ZERO * size, np.sign(w), 0.0)
        free = np.setdiff1d(np.arange(self.program.n), self._kinks)
        found._signs[free] = 0.0
        found._price = np.zeros((len(x), *w.shape))
        found._price[:, self._kinks] = self._costs(x)
        found._bent = np.isin(np.arange(self.program.n), self._kinks)
        return found

    _signs: Array
    _price: Array
    _bent: NDArray[np.bool_]

    def ends(self, y: Array) -> tuple[Array, Array]:
        bent = self._bent[:, None]
        low = np.where(bent & (self._signs >= 0.0), 0.0, -np.inf)
        return low, np.where(bent & (self._signs <= 0.0), 0.0, np.inf)

    def slopes(self, x: Array, y: Array) -> Array:
        found: Array = self.taylor.add(super().slopes(x, y), _signed(self._signs, self._price))
        return found

    def _residual(self, guess: PolynomialAnswer) -> Array:
        taylor, plain, price = self.taylor, super().slopes(guess.x, guess.y), self._price
        residual = taylor.add(plain, _signed(self._signs, price))
        at_zero = self._bent[:, None] & (guess.y[:-1] == 0.0).all(axis=0)
        beyond = [taylor.ranges(taylor.subtract(side, price))[1] for side in (plain, _negative(plain))]
        wrong = np.maximum(np.maximum(*beyond), 0.0)
        residual[:, at_zero] = 0.0
        residual[-1, at_zero] = wrong[at_zero]
        residual[-1, self._bent[:, None] & ~(taylor.ranges(price)[0] >= 0.0)] = np.inf
        return residual


def _signed(signs: Array, model: Array) -> Array:
    found = signs * model
    found[-1] = np.abs(signs) * model[-1]
    return found


def _negative(model: Array) -> Array:
    found = -model
    found[-1] = model[-1]
    return found
