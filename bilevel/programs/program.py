"""An optimization problem in compiled form: what engines solve.

``min_y f(p, y)  s.t.  row_lower <= g(p, y) <= row_upper,  lower <= y <= upper,  y_i integer for some i``, for any
value of the parameters p. A follower is one (p is the leader's x), and so are the tie-break, the projection onto the
upper constraints and the single-level KKT model (no parameters).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.expressions.moving_squares import MovingSquare
from bilevel.expressions.row_terms import KINKS, RowTerm
from bilevel.expressions.squares import Square, Written, symbols_of, write_out
from bilevel.graphs.compiled import Compiled
from bilevel.graphs.steepness import spread_of
from bilevel.linear_algebra.sparsity import few_nonzeros
from bilevel.programs.loss_sum import LossSum

T = TypeVar("T")

SPARSE_FROM = 150
"""Variables from which sparse matrices are faster than dense ones of the same size."""

_LARGE_GRAPH = 1_000_000  # variables times nodes of the gradient
_DENSE = 0.25  # share of a Hessian that is not zero


class Shape(StrEnum):
    """The algebraic class of a program in its variables."""

    LINEAR = "linear"
    QUADRATIC = "quadratic"
    NONLINEAR = "nonlinear"


@dataclass(frozen=True, eq=False)
class Program:
    """A parametric program.

    Attributes
    ----------
    name : str
        Where it came from.
    parameters, variables : SX of shape (p, 1), (n, 1)
        Symbols.
    objective : SX scalar
        Minimised. Where squares are given with it, in their symbols; read, it has them written out.
    rows : SX of shape (m, 1)
        Constraint bodies.
    row_lower, row_upper : ndarray of shape (m,)
        Their bounds, infinite where there is none.
    lower, upper : ndarray of shape (n,)
        Bounds of the variables.
    integer : ndarray of bool, shape (n,)
        Which variables are integer.
    names, row_names : tuple of str
        For messages.
    sos1 : tuple of tuple of int
        Sets of variables of which at most one is nonzero.
    convex : bool
        Whether the objective and the rows were proved convex for every value of the parameters.
    squares : tuple of Square
        Terms ``||R w - t||^2`` of the objective whose R stays an array; their weights are functions of the parameters.
    moving : tuple of MovingSquare
        Such terms whose R and t are functions of the parameters.
    losses : tuple of RowTerm
        Losses over rows that stay arrays; their weights are functions of the parameters.
    short : SX scalar
        The objective in the symbols of all of them.
    tops : tuple of (int, tuple of int)
        Variables that stand for a maximum, inner ones first, each with its rows, ``piece - variable <= 0``.
    """

    name: str
    parameters: ca.SX
    variables: ca.SX
    objective: ca.SX
    rows: ca.SX
    row_lower: Array
    row_upper: Array
    lower: Array
    upper: Array
    integer: NDArray[np.bool_]
    names: tuple[str, ...] = ()
    row_names: tuple[str, ...] = ()
    sos1: tuple[tuple[int, ...], ...] = ()
    convex: bool = False
    start: Array | None = field(default=None)
    squares: tuple[Square, ...] = ()
    moving: tuple[MovingSquare, ...] = ()
    tops: tuple[tuple[int, tuple[int, ...]], ...] = ()
    losses: tuple[RowTerm, ...] = ()
    short: ca.SX = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "short", self.objective)
        if self.squares or self.moving or self.losses:
            del self.__dict__["objective"]  # __getattr__ brings it back

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The objective with its squares written out, which few ask for and nobody twice."""
            if name != "objective" or "short" not in self.__dict__:
                raise AttributeError(name)
            self.__dict__[name] = write_out(self.short, [*self.squares, *self.moving, *self.losses])
            return self.__dict__[name]

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """What was made of this program once, shared with the copy that says more of it."""
        forms: dict[str, Any] = self.__dict__.setdefault("_forms", {})
        if name not in forms:
            forms[name] = make()
        return cast(T, forms[name])

    def but(self, **changes: Any) -> Program:
        """A copy with other fields."""
        return replace(self, **{"objective": self.short, **changes})

    @cached_property
    def proved_convex(self) -> Program:
        """A copy that says so; what was found out about the program, and its numeric forms, both have in common."""
        self.__dict__.setdefault("_forms", {})
        marked = self.but(convex=True)
        marked.__dict__.update({name: value for name, value in self.__dict__.items() if name not in marked.__dict__})
        return marked

    @property
    def n(self) -> int:
        """Number of variables."""
        return int(self.variables.numel())

    @property
    def m(self) -> int:
        """Number of rows."""
        return int(self.rows.numel())

    @property
    def discrete(self) -> bool:
        """Whether any variable is integer or stands in a special ordered set."""
        return bool(self.integer.any()) or bool(self.sos1)

    @cached_property
    def equality(self) -> NDArray[np.bool_]:
        """Which rows are equalities."""
        equal: NDArray[np.bool_] = self.row_lower == self.row_upper
        return equal

    @cached_property
    def bounded_variables(self) -> NDArray[np.bool_]:
        """Which variables have a finite bound."""
        finite: NDArray[np.bool_] = np.isfinite(self.lower) | np.isfinite(self.upper)
        return finite

    @property
    def has_inequalities(self) -> bool:
        """Whether any row or bound is an inequality."""
        return bool((~self.equality).any()) or bool(self.bounded_variables.any())

    @cached_property
    def rest(self) -> Program:
        """The program without its squares, moving ones included, and without its losses over rows."""
        if not self.squares and not self.moving:
            return self.without_losses
        return self._without([*self.squares, *self.moving, *self.losses], squares=(), moving=(), losses=())

    @cached_property
    def without_losses(self) -> Program:
        """The program without its losses over rows."""
        return self._without(self.losses, losses=()) if self.losses else self

    def _without(self, terms: Sequence[Written], **changes: Any) -> Program:
        symbols = symbols_of(terms)
        objective = ca.substitute(self.short, symbols, ca.SX.zeros(symbols.numel(), 1))
        return replace(self, objective=objective, **changes)

    @cached_property
    def loss_weights(self) -> tuple[ca.SX, ...]:
        """What each loss is multiplied with, a scalar; where its rows have weights that move, of each row, (n, 1)."""
        factors = ca.jacobian(self.short, symbols_of(self.losses))
        return tuple(
            factors[k] if term.weights is None else factors[k] * term.weights for k, term in enumerate(self.losses)
        )

    @cached_property
    def weights(self) -> ca.SX:
        """What each of the squares is multiplied with, shape (k, 1)."""
        return ca.jacobian(self.short, symbols_of(self.squares)).T

    @cached_property
    def moving_weights(self) -> ca.SX:
        """The same for the moving ones."""
        return ca.jacobian(self.short, symbols_of(self.moving)).T

    @cached_property
    def gradient(self) -> ca.SX:
        """Gradient of the objective in the variables, shape (n, 1)."""
        if self.losses:  # written out: who can keep them does not ask
            return ca.gradient(self.objective, self.variables)
        if not self.squares:
            return self.moving_gradient
        total = ca.densify(self.moving_gradient)
        for k, square in enumerate(self.squares):
            slope = ca.mtimes(ca.DM(square.factor.hessian), square.variables) + square.factor.at_zero
            total[square.places] += self.weights[k] * slope
        return total

    @cached_property
    def moving_gradient(self) -> ca.SX:
        """The same of what is left without :attr:`squares`, whose derivatives are matrix products."""
        total = ca.gradient(self.rest.short, self.variables)
        if self.moving:
            total = ca.densify(total)
        for k, square in enumerate(self.moving):
            total[square.places] += self.moving_weights[k] * square.slope
        return total

    @cached_property
    def hessian(self) -> ca.SX:
        """Hessian of the objective in the variables, shape (n, n), sparse."""
        if self.losses:
            return ca.jacobian(self.gradient, self.variables, {"symmetric": True})
        total = self._curvature_of_rest
        for k, square in enumerate(self.squares):
            total = total + self.weights[k] * self._scattered(square.places, ca.DM(square.factor.hessian))
        for k, term in enumerate(self.moving):
            total = total + self.moving_weights[k] * self._scattered(term.places, term.curvature)
        return total

    @property
    def _curvature_of_rest(self) -> ca.SX:
        """The Hessian of what is left without the squares: column by column in numbers, where it is large and constant.

        A symbolic Jacobian walks over the graph once per colour, and a dense Hessian has as many colours as columns.
        """
        gradient = self.rest.gradient
        large = self.n * ca.n_nodes(gradient) > _LARGE_GRAPH
        if large and ca.jacobian_sparsity(gradient, self.variables).nnz() > _DENSE * self.n**2:
            way = ca.SX.sym("way", self.n)
            along = ca.jtimes(gradient, self.variables, way)
            if not ca.depends_on(along, ca.vertcat(self.variables, self.parameters)):
                columns = ca.Function("along", [way], [ca.densify(along)])(np.eye(self.n)).full()
                return ca.SX(ca.sparsify(ca.DM(0.5 * (columns + columns.T))))
        return ca.jacobian(gradient, self.variables, {"symmetric": True})

    def _scattered(self, places: slice | list[int], block: ca.DM | ca.SX) -> ca.DM | ca.SX:
        """A block in the rows and columns of some variables, shape (n, n)."""
        whole = type(block)(self.n, self.n)
        whole[places, places] = block
        return whole

    @cached_property
    def jacobian(self) -> ca.SX:
        """Jacobian of the rows in the variables, shape (m, n), sparse."""
        return ca.jacobian(self.rows, self.variables)

    @cached_property
    def shape(self) -> Shape:
        """Linear or quadratic in the variables with linear rows, else nonlinear."""
        if self.losses or self.kinked:
            return Shape.NONLINEAR
        if self.m and ca.depends_on(self.jacobian, self.variables):
            return Shape.NONLINEAR
        if not (self.squares or self.moving) and not ca.depends_on(self.gradient, self.variables):
            return Shape.LINEAR
        along = ca.jtimes(self.rest.gradient, self.variables, ca.SX.sym("along", self.n))  # cheaper than the Hessian
        return Shape.NONLINEAR if ca.depends_on(along, self.variables) else Shape.QUADRATIC

    @cached_property
    def sparse(self) -> bool:
        """Whether its matrices are kept sparse: it is large, and few of their entries are not zero.

        Then its numeric form has sparse ones, and so have the derivatives of its answer.
        """
        if self.n < SPARSE_FROM or self.squares or self.moving or self.losses:
            return False
        return few_nonzeros(self.hessian.sparsity(), self.jacobian.sparsity())

    @cached_property
    def curved(self) -> NDArray[np.bool_]:
        """Which variables the objective or a row is not affine in, shape (n,), boolean."""
        outputs = ca.vertcat(self.objective, self.rows)
        return np.array(ca.which_depends(outputs, self.variables, 2, False), dtype=bool)

    @cached_property
    def loose(self) -> NDArray[np.bool_]:
        """Which of these have no bound on some side: no relaxation of their terms says anything."""
        open_ended: NDArray[np.bool_] = ~(np.isfinite(self.lower) & np.isfinite(self.upper))
        return self.curved & open_ended

    @cached_property
    def measure(self) -> tuple[float, float]:
        """Origin and unit in which the objective is measured: (0, 1) unless it is flat or a constant dwarfs it.

        With parameters, whose values have a say in this, always (0, 1).
        """
        if self.parameters.numel():
            return 0.0, 1.0
        spread = spread_of(self.objective, self.variables, self.lower, self.upper)
        return spread.origin, spread.unit

    @cached_property
    def graph(self) -> ca.Function:
        """Objective and rows as instructions, common subexpressions once, for engines with a language of their own."""
        outputs = [self.objective, ca.densify(self.rows)]
        return ca.Function("graph", [self.parameters, self.variables], outputs, {"cse": True})

    @cached_property
    def _instructions(self) -> ca.Function:
        """The short objective and the rows, as they stand."""
        return ca.Function("graph", [self.parameters, self.variables], [self.short, ca.densify(self.rows)])

    @cached_property
    def operations(self) -> frozenset[int]:
        """CasADi's numbers of the operations in the objective, terms over data left out, and in the rows."""
        graph = self.rest._instructions
        return frozenset(map(graph.instruction_id, range(graph.n_instructions())))

    @cached_property
    def kinked(self) -> bool:
        """Whether a kink or a jump depends on the variables: CasADi's derivatives pass it over."""
        if any(term.kinked for term in self.losses):
            return True
        if KINKS.isdisjoint(self.operations):
            return False
        graph = self.rest._instructions
        operations = [graph.instruction_id(k) for k in range(graph.n_instructions())]
        moving: set[int] = set()  # work slots that hold something the variables move
        for k, operation in enumerate(operations):
            if operation == ca.OP_OUTPUT:
                continue
            inputs, slot = graph.instruction_input(k), graph.instruction_output(k)[0]
            constant = operation == ca.OP_CONST or (operation == ca.OP_INPUT and inputs[0] == 0)
            if constant or (operation != ca.OP_INPUT and moving.isdisjoint(inputs)):
                moving.discard(slot)
            elif operation in KINKS and not (operation == ca.OP_IF_ELSE_ZERO and inputs[0] not in moving):
                return True
            else:
                moving.add(slot)
        return False

    @cached_property
    def lowest(self) -> ca.SX:
        """The variables with every one of :attr:`tops` at the largest of its pieces, shape (n, 1)."""
        y = self.variables
        for place, rows in self.tops:
            pieces = [self.rows[row] + self.variables[place] for row in rows]
            pieces += [self.lower[place]] if np.isfinite(self.lower[place]) else []
            top = ca.substitute(ca.mmax(ca.vertcat(*pieces)), self.variables, y)
            y = ca.vertcat(y[:place], top, y[place + 1 :])
        return y

    @cached_property
    def lowered(self) -> Callable[[Array, Array], tuple[Array, ...]]:
        """``lowered(p, y)`` gives :attr:`lowest` as numbers, shape (n,)."""
        return Compiled([self.parameters, self.variables], [self.lowest])

    @cached_property
    def evaluate(self) -> Callable[[Array, Array], tuple[Array, ...]]:
        """``evaluate(p, y)`` gives the objective, shape (1,), and the rows, shape (m,)."""
        inputs, short = [self.parameters, self.variables], write_out(self.short, self.moving)
        if not (self.squares or self.losses):
            return Compiled(inputs, [short, self.rows])
        losses = ca.SX.sym("losses")
        short = losses + ca.substitute(short, symbols_of(self.losses), ca.SX.zeros(len(self.losses), 1))
        compiled = Compiled([*inputs, symbols_of(self.squares), losses], [short, self.rows])

        def evaluate(p: Array, y: Array) -> tuple[Array, ...]:
            point = np.asarray(y, dtype=float)
            values = [square.value(point) for square in self.squares]
            return compiled(p, point, values, self.loss_sum.at(p).value(point) if self.losses else 0.0)

        return evaluate

    @property
    def loss_sum(self) -> LossSum:
        """The losses over rows as numbers, shared with copies that say more of the program."""
        return self.kept("losses", lambda: LossSum(self.parameters, self.losses, self.loss_weights))

    def violation(self, parameters: Array, y: Array) -> float:
        """Largest violation of a bound, a row or an integrality at a point, relative to ``max(1, |bound|)``."""
        _, rows = self.evaluate(parameters, y)
        worst = max(_excess(y, self.lower, self.upper), _excess(rows, self.row_lower, self.row_upper))
        if self.integer.any():
            worst = max(worst, float(np.abs(y[self.integer] - np.round(y[self.integer])).max()))
        return worst

    def describe(self) -> str:
        """The class in the field's words: ``LP``, ``convex QP``, ``MILP``, ``NLP`` ..."""
        discrete = "MI" if self.integer.any() else ""
        if self.shape is Shape.LINEAR:
            return f"{discrete}LP"
        if self.shape is Shape.NONLINEAR:
            return f"{discrete}NLP"
        kind = "" if discrete or self.has_inequalities else ("equality-constrained " if self.m else "unconstrained ")
        return f"{kind}{discrete}QP"


def _excess(values: Array, lower: Array, upper: Array) -> float:
    """Largest relative violation of ``lower <= values <= upper``; infinite where a value is NaN."""
    if not values.size:
        return 0.0
    if np.isnan(values).any():
        return float("inf")
    low, high = np.isfinite(lower), np.isfinite(upper)
    under = (lower[low] - values[low]) / np.maximum(1.0, np.abs(lower[low]))
    over = (values[high] - upper[high]) / np.maximum(1.0, np.abs(upper[high]))
    return float(max(under.max(initial=0.0), over.max(initial=0.0)))
