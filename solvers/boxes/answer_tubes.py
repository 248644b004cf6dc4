"""A tube around a follower's answer: a polynomial in x on a box, and how far from it y(x) can be at most.

Let f be strongly convex in y with a definite ``H <= f_yy(x, y)`` on the box, K(x) the follower's polyhedron
``g(x, y) = A y + B x <= b``, and ``p(x) in K(x)`` *any* guess of the answer, with *any* multipliers ``l(x) >= 0``. The
variational inequality at the answer (Kinderlehrer and Stampacchia 1980, ch. 1) and the monotonicity of f_y give for
``d = y(x) - p(x)``

    d'H d  <=  (f_y(x, y) - f_y(x, p))'d  <=  -f_y(x, p)'d  <=  -(f_y(x, p) + A'l)'d + l'(b - g(x, p)),

hence with the residual ``rho(x) = f_y(x, p(x)) + A'l(x)`` and the gap ``s = l'(b - g)``

    |d|_H  <=  delta = (|rho| + sqrt(|rho|^2 + 4 s)) / 2,   |rho| the norm of H^-1.

p and l are the polynomials of degree 2 that solve the optimality conditions with the active set of the box's centre:
the residual is of third order in the width, whatever errors the engine and the linear algebra made are part of it,
and nothing has to be proved about the active set. Where that changes in the box, the residual is what the multipliers
that change sign leave over, of first order. A variable that stays at a bound takes the bound's multiplier, for which
only the wrong sign of its slope is a residual.

H comes from :mod:`.hessian_below`. Where f is not quadratic it is taken on a box of y around p, and
holds if the tube stays inside: the answer over that box alone then lies in its interior, which for a convex f makes it
the answer.
"""

from __future__ import annotations

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.expressions.squares import Square
from bilevel.graphs.taylor import Taylor
from bilevel.graphs.taylor_graph import TaylorGraph
from bilevel.programs.program import Program
from bilevel.solvers.boxes.hessian_below import Bends, Flags, inverses, scatter
from bilevel.solvers.boxes.polynomial_answer import PolynomialAnswer
from bilevel.solvers.boxes.row_models import RowModels
from bilevel.solvers.boxes.tube import Tube

LARGEST = 200  # variables of a follower: dense matrices for every box
_INFLATED = 1.0 + 1e-4  # what H^-1 may be off by, were H as ill-conditioned as is allowed
_LEAST = 1e-9  # half width of such a box where the tube has none
_TRIALS = 3  # boxes of y tried where f is not quadratic


class AnswerTubes:
    """Makes tubes for one follower.

    Parameters
    ----------
    program : Program
        The follower's, convex.
    taylor : Taylor
        The arithmetic.

    Raises
    ------
    RefusedError
        If it is not of the kind described above.
    """

    def __init__(self, program: Program, taylor: Taylor) -> None:
        _refuse(program)
        self.program, self.taylor = program, taylor
        rest, inputs = program.rest, [program.parameters, program.variables]
        triangle = ca.tril(rest.hessian)
        entries = ca.vertcat(ca.SX(0, 1), *triangle.nonzeros())
        rows, columns = (np.array(k, dtype=int) for k in triangle.sparsity().get_triplet())
        moving = (
            np.array(ca.which_depends(entries, ca.vertcat(*inputs), 1, True), dtype=bool) if len(rows) else rows > 0
        )
        fixed = ca.Function("fixed", inputs, [entries]).call([np.full(s.numel(), np.nan) for s in inputs])[0].full()
        self._base = np.zeros((program.n, program.n))
        for one, other in ((rows, columns), (columns, rows)):
            self._base[one[~moving], other[~moving]] = fixed[~moving, 0]
        self._places = rows[moving], columns[moving]
        weights = program.weights if program.squares else ca.SX(0, 1)
        weights = ca.vertcat(weights, *program.loss_weights)
        self._slopes = TaylorGraph(taylor, inputs, ca.vertcat(ca.densify(rest.gradient), weights))
        self._bends = TaylorGraph(taylor, inputs, ca.vertcat(weights, entries[np.flatnonzero(moving).tolist()]))
        self._losses = [RowModels(taylor, term) for term in program.losses]
        self.quadratic = not program.losses and not ca.depends_on(ca.vertcat(entries, weights), program.variables)
        numbers = ca.Function("rows", [], [ca.densify(program.jacobian)]).call([])[0]
        self.matrix = numbers.full().reshape(program.m, program.n)
        at_zero = ca.substitute(program.rows, program.variables, ca.SX.zeros(program.n, 1))
        self._rows = TaylorGraph(taylor, [program.parameters], at_zero)
        places_of = [*(square.places for square in program.squares), *(term.places for term in program.losses)]
        self._places_of = [_indices(places, program.n) for places in places_of]

    def __len__(self) -> int:
        return len(self._slopes) * 3 + len(self._bends)

    @property
    def room(self) -> int:
        """Numbers held per box, roughly."""
        square = (self.program.n + self.program.m) ** 2
        of_rows = max((loss.room for loss in self._losses), default=0)
        return max(self._slopes.room, self._bends.room + 10 * square, of_rows)

    def __call__(self, x: Array, y: Array) -> Tube:
        """Tubes from answers at the centres.

        Parameters
        ----------
        x : ndarray of shape (size, d, boxes)
            The boxes, as Taylor models of their coordinates.
        y : ndarray of shape (n, boxes)
            The follower's answer at each box's centre, as near as an engine got.
        """
        with np.errstate(all="ignore"):
            guess = PolynomialAnswer(self, x, y)
            guess.fit()
            return self._measured(guess)

    def ends(self, y: Array) -> tuple[Array, Array]:
        """Bounds of the variables near some answers, shape (n, boxes)."""
        return self.program.lower[:, None], self.program.upper[:, None]

    def slopes(self, x: Array, y: Array) -> Array:
        """Models of ``f_y``, shape (size, n, boxes)."""
        taylor, n = self.taylor, self.program.n
        found = self._slopes(x, y)
        slopes, weights = found[:, :n], found[:, n:]
        for k, (term, places) in enumerate(zip(self._terms, self._places_of, strict=True)):
            if isinstance(term, RowModels):
                inner = term.slope(y)
            else:
                inner = taylor.mapped(term.factor.hessian, y[:, places])
                inner = taylor.shifted(inner, term.factor.at_zero[:, None])
            slopes[:, places] = taylor.add(slopes[:, places], taylor.multiply(weights[:, k : k + 1], inner))
        return slopes

    @property
    def _terms(self) -> list[Square | RowModels]:
        return [*self.program.squares, *self._losses]

    def bends(self, x: Array, y: Array) -> Bends:
        """What is known of the Hessian."""
        terms = self._terms
        found = self._bends(x, y)
        weights, entries = found[:, : len(terms)], found[:, len(terms) :]
        middle = np.repeat(self._base[None], found.shape[-1], axis=0)
        scatter(middle, entries[0], self._places)
        lowest = middle.copy()
        least, most = self.taylor.ranges(weights)
        for k, (term, places) in enumerate(zip(terms, self._places_of, strict=True)):
            where = np.ix_(range(len(middle)), places, places)
            if isinstance(term, RowModels):
                at, below = term.hessians(y, least[k], most[k])
            else:
                at, below = term.factor.hessian[None], least[k][:, None, None] * term.factor.hessian
            middle[where] += weights[0, k][:, None, None] * at
            lowest[where] += below
        return Bends(self.taylor, middle, lowest, entries, self._places)

    def row_models(self, x: Array, y: Array) -> Array:
        """Models of the rows, shape (size, m, boxes)."""
        return self.taylor.add(self.taylor.mapped(self.matrix, y), self._rows(x))

    def flat(self, x: Array, y: Array) -> Array | None:
        """The centre of a box at which the Hessian is not definite beyond rounding, or None."""
        points = self.taylor.constant(x[0])
        definite = inverses(self.bends(points, self.taylor.constant(y)).middle)[1]
        return None if definite.all() else x[0, :, int(np.argmin(definite))]

    def _gap(self, guess: PolynomialAnswer) -> Array:
        """``l'(b - g)`` at most, shape (boxes,); infinite where p is not in K, up to rounding."""
        program, taylor = self.program, self.taylor
        if not program.m:
            return np.zeros(guess.boxes)
        rows = self.row_models(guess.x, guess.y)
        low, high = taylor.ranges(rows)
        row_low, row_high = program.row_lower[:, None], program.row_upper[:, None]
        size = np.maximum(1.0, np.abs(rows[0])) * tolerances.SAME
        outside = ((low < row_low - size) | (high > row_high + size)).any(axis=0)
        reach = taylor.reach(guess.weights)
        up, down = np.maximum(guess.weights[0] + reach, 0.0), np.maximum(reach - guess.weights[0], 0.0)
        gap = np.where(up > 0.0, up * np.maximum(row_high - low, 0.0), 0.0)
        gap += np.where(down > 0.0, down * np.maximum(high - row_low, 0.0), 0.0)
        return np.where(outside, np.inf, gap.sum(axis=0))

    def _residual(self, guess: PolynomialAnswer) -> Array:
        """rho, shape (size, n, boxes); of variables that stay at a bound only what has the wrong sign."""
        taylor, program = self.taylor, self.program
        residual = self.slopes(guess.x, guess.y)
        if program.m:
            residual = taylor.add(residual, taylor.mapped(self.matrix.T.copy(), guess.weights))
        low, high = taylor.ranges(residual)
        still = (guess.y[1:] == 0.0).all(axis=0)
        on_low = still & (guess.y[0] == program.lower[:, None])
        on_high = still & (guess.y[0] == program.upper[:, None])
        wrong = np.where(on_low, np.maximum(-low, 0.0), np.maximum(high, 0.0))
        wrong[on_low & on_high] = 0.0
        residual[:, on_low | on_high] = 0.0
        residual[-1, on_low | on_high] = wrong[on_low | on_high]
        return residual

    def _measured(self, guess: PolynomialAnswer) -> Tube:
        residual, gap = self._residual(guess), self._gap(guess)
        inverse, definite = guess.bends.inverse_below()
        delta, reach = _extent(residual, gap, inverse, definite)
        if not self.quadratic:
            inside: Flags = np.zeros(guess.boxes, dtype=bool)
            for _ in range(_TRIALS):
                around = guess.y.copy()
                least = _LEAST * np.maximum(1.0, np.abs(guess.y[0]))
                around[-1] = trial = 2.0 * np.where(np.isfinite(reach), reach, 0.0) + least
                inverse, definite = self.bends(guess.x, around).inverse_below()
                delta, reach = _extent(residual, gap, inverse, definite)
                inside = np.asarray((reach < trial).all(axis=0))
                if inside[np.isfinite(delta)].all():
                    break
            delta, reach = np.where(inside, delta, np.inf), np.where(inside, reach, np.inf)
        return Tube(guess.y, delta, inverse, reach, guess.bends.sway)


def _refuse(program: Program) -> None:
    if program.discrete:
        raise RefusedError(f"{program.name} has integer variables, and answers that jump have no tube around them")
    if program.n > LARGEST:
        raise RefusedError(f"{program.name} has {program.n} variables, more than {LARGEST}")
    if program.kinked:
        raise RefusedError(f"{program.name} has kinks in its own variables; write them with variables and inequalities")
    both = ca.vertcat(program.parameters, program.variables)
    if program.m and ca.depends_on(ca.jacobian(program.rows, both), both):
        bent = np.array(ca.which_depends(program.rows, both, 2, True), dtype=bool)
        name = program.row_names[int(np.argmax(bent))]
        raise RefusedError(
            f"{name} is not linear in both levels' variables, which {program.name}'s constraints must be"
        )


def _indices(places: slice | list[int], n: int) -> list[int]:
    return list(range(n))[places] if isinstance(places, slice) else places


def _extent(residual: Array, gap: Array, inverse: Array, definite: Flags) -> tuple[Array, Array]:
    """delta, shape (boxes,), and its extent along the axes, shape (n, boxes)."""
    polynomial = residual[:-1].transpose(2, 1, 0)
    norm = np.sqrt(np.maximum((polynomial * (inverse @ polynomial)).sum(axis=1), 0.0)).sum(axis=1)
    radius = residual[-1].T[:, :, None]
    norm = norm + np.sqrt((radius * (np.abs(inverse) @ radius)).sum(axis=(1, 2)))
    delta = _INFLATED * 0.5 * (norm + np.sqrt(norm**2 + 4.0 * gap))
    delta = np.where(definite & np.isfinite(delta), delta, np.inf)
    reach = delta * _INFLATED * np.sqrt(inverse.diagonal(axis1=1, axis2=2).T)
    return delta, reach
