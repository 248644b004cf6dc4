"""Convex piecewise-linear terms as epigraphs: an absolute value or a maximum whose weight is proved not negative.

``min_y f(x, y) + w(x) max_i e_i(x, y)`` with ``w >= 0`` and e affine in y has the same answers y as

    min_{y, t}  f(x, y) + w(x) t    s.t.    e_i(x, y) <= t        (Boyd and Vandenberghe 2004, 4.1.3 and 4.3.1),

and so has a constraint ``g + w max_i e_i <= u``. An absolute value is the maximum of two pieces; a minimum with a
weight that is not positive is the negative of a maximum; what grows and is convex (a power of something that is not
negative, an exponential) keeps its argument's epigraph convex. Terms nest and add up. Where any kink of a follower is
of another kind, or a sign is not proved from bounds and rows over one variable, the follower stays as it was written.

The variables t are the follower's too, behind his own, but no user sees them: f and g are measured as written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import casadi as ca
import pyomo.environ as pyo
from pyomo.common.modeling import unique_component_name
from pyomo.core.expr import numeric_expr as ne

from bilevel.errors import BilevelError
from bilevel.expressions.translation import mentioned, parts_of, to_casadi
from bilevel.graphs.intervals import ENTIRE, Graph, Interval
from bilevel.language.row_losses import RowLosses
from bilevel.language.squared_distance import SquaredDistance

Ends = Callable[[Any], Interval]

_PLAIN = (int, float, ne.MonomialTermExpression)  # commonest, and without a kink
_KINKED = (ne.AbsExpression, ne.MaxExpression, ne.MinExpression)
_DEEPEST = 300  # levels of nesting that are rewritten; recursions of a model's own go deeper, and hold no such terms


class _KeptError(Exception):
    """The expression is no convex function with kinks of this kind."""


@dataclass(frozen=True)
class Epigraph:
    """What stands for the kinks of some expressions.

    Attributes
    ----------
    block : Block
        Holds the new components, under the names they would have on ``home``.
    home : Block
        Where they belong in a single-level model.
    root : Block
        Of the tree in which ``block`` stands, whose members know it by weak references alone.
    tops : tuple of VarData
        The variables t, inner ones first; none where every kink is out of reach, as that of ``abs(w)`` with ``w >= 0``.
    rows : tuple of ConstraintData
        ``e_i - t <= 0``.
    expressions : tuple
        What was given, rewritten.
    """

    block: Any
    home: Any
    root: Any
    tops: tuple[Any, ...]
    rows: tuple[Any, ...]
    expressions: tuple[Any, ...]

    def attach(self) -> None:
        """Move the variables and rows to where they belong: they become part of that model."""
        for component in list(self.block.component_objects(descend_into=False)):
            self.block.del_component(component)
            self.home.add_component(component.local_name, component)


def epigraph_of(
    home: Any, expressions: Sequence[tuple[Any, int]], variables: Iterable[Any], ends: Ends
) -> Epigraph | None:
    """The epigraph of some expressions; None where there is no kink, or one that is no convex term.

    Parameters
    ----------
    home : Block
        Where new variables belong.
    expressions : sequence of (Pyomo expression, int)
        With +1 where it has to be small, -1 where it has to be large, 0 where neither.
    variables : iterable of VarData
        In which the kinks count; all else is data.
    ends : callable
        The range of a variable.
    """
    if not any(_holds_a_kink(expression) for expression, _ in expressions):
        return None
    walk = _Walk(variables, ends)
    if not any(walk.kinked(expression) for expression, _ in expressions):
        return None
    walk.settle(home)
    try:
        rewritten = tuple(walk(expression, sign) for expression, sign in expressions)
    except _KeptError:
        return None
    return Epigraph(walk.block, home, walk.root, tuple(walk.tops.values()), tuple(walk.rows.values()), rewritten)


class _Walk:
    """Rewrites expressions; what holds no kink stays as it is."""

    def __init__(self, variables: Iterable[Any], ends: Ends) -> None:
        self._own = {id(var) for var in variables}
        self._ends = ends
        self._facts: dict[int, tuple[bool, bool]] = {}
        self._kept: list[Any] = []  # keeps the ids above from being reused
        self._done: dict[tuple[int, int], Any] = {}
        self._depth = 0

    def settle(self, home: Any) -> None:
        """Make a place for new components."""
        self.block, self.root = _double_of(home)
        self.tops, self.rows = pyo.Var(pyo.Any, dense=False), pyo.Constraint(pyo.Any)
        name = unique_component_name(home, "epigraph")
        self.block.add_component(name, self.tops)
        self.block.add_component(f"{name}_rows", self.rows)

    def kinked(self, expression: Any) -> bool:
        """Whether an expression has a kink in the variables."""
        return self._look(expression)[1]

    def __call__(self, node: Any, sign: int) -> Any:
        """An expression with variables in the place of its kinks, given the sign with which it is minimised."""
        if not self.kinked(node):
            return node
        key = id(node), sign
        if key not in self._done:
            if not sign or self._depth > _DEEPEST:
                raise _KeptError
            self._depth += 1
            self._done[key] = self._rewritten(node, tuple(node.args), sign)
            self._depth -= 1
        return self._done[key]

    def _rewritten(self, node: Any, args: tuple[Any, ...], sign: int) -> Any:
        if isinstance(node, ne.SumExpression):
            return sum(self(arg, sign) for arg in args)
        if isinstance(node, ne.NegationExpression):
            return -self(args[0], -sign)
        if isinstance(node, ne.ProductExpression):
            weight, term = args if self.kinked(args[1]) else (args[1], args[0])
            return weight * self(term, sign * self._sign_of(weight))
        if isinstance(node, ne.DivisionExpression):
            return self(args[0], sign * self._sign_of(args[1])) / args[1]
        if isinstance(node, ne.AbsExpression):
            return self._absolute(args[0], sign)
        if isinstance(node, ne.MaxExpression) and sign > 0:
            return self._top([self(arg, 1) for arg in args])
        if isinstance(node, ne.MinExpression) and sign < 0:
            return -self._top([-self(arg, -1) for arg in args])
        if isinstance(node, ne.PowExpression) and sign > 0:
            return self._power(*args)
        if isinstance(node, ne.UnaryFunctionExpression) and node.getname() == "exp" and sign > 0:
            return pyo.exp(self(args[0], 1))
        if node.is_named_expression_type() and not isinstance(node, SquaredDistance):
            return self(args[0], sign)  # of losses over few rows what they are written out
        raise _KeptError

    def _absolute(self, inside: Any, sign: int) -> Any:
        low, high = self._range(inside)
        if low >= 0 or high <= 0:  # no kink within the bounds
            return self(inside, sign) if low >= 0 else -self(inside, -sign)
        if sign < 0:
            raise _KeptError
        return self._top([inside, -inside])

    def _power(self, base: Any, exponent: Any) -> Any:
        low, high = ENTIRE if self._look(exponent)[0] else self._range(exponent)
        if isinstance(base, ne.AbsExpression) and low == high and low > 0 and low % 2 == 0:
            return self(base.args[0], 0) ** exponent
        if not low >= 1 or self._range(base)[0] < 0:
            raise _KeptError
        inner = self(base, 1)
        if not self._is_top(inner):
            inner = self._top([inner, 0.0])
        if inner.lb is None:
            inner.setlb(0.0)
        return inner**exponent

    def _top(self, pieces: list[Any]) -> Any:
        """A variable above every piece."""
        if any(self.kinked(piece) or not self._affine(piece) for piece in pieces):
            raise _KeptError
        top = self.tops.add(len(self.tops))
        self._own.add(id(top))
        for k, piece in enumerate(pieces):
            if getattr(piece, "is_potentially_variable", bool)():
                self.rows.add((top.index(), k), (None, piece - top, 0.0))
            else:
                top.setlb(max(float(pyo.value(piece)), -math.inf if top.lb is None else top.lb))
        return top

    def _is_top(self, expression: Any) -> bool:
        return getattr(expression, "is_variable_type", bool)() and expression.parent_component() is self.tops

    def _sign_of(self, weight: Any) -> int:
        if self._look(weight)[0]:
            raise _KeptError
        low, high = self._range(weight)
        if low < 0 < high:
            raise _KeptError
        return 1 if low >= 0 else -1

    def _symbols(self, expression: Any) -> tuple[ca.SX, list[Any], ca.SX]:
        found = mentioned([expression])
        symbols = ca.SX.sym("v", len(found))
        known = {key: symbols[k] for k, key in enumerate(found)}
        try:
            return ca.SX(to_casadi(lambda node: known.get(id(node)))(expression)), list(found.values()), symbols
        except BilevelError:
            raise _KeptError from None  # who compiles it will say what is wrong

    def _range(self, expression: Any) -> Interval:
        if getattr(expression, "is_variable_type", bool)():
            return self._ends(expression)
        function, variables, symbols = self._symbols(expression)
        graph = Graph(symbols, ca.SX(0, 1), function)
        return graph.enclose([self._ends(var) for var in variables], [])[graph.outputs[0]]

    def _affine(self, piece: Any) -> bool:
        """In the variables, whatever their coefficients are."""
        inside = piece
        if isinstance(piece, ne.NegationExpression | ne.MonomialTermExpression):
            inside = piece.args[-1]
        if getattr(inside, "is_variable_type", bool)():
            return True
        function, variables, symbols = self._symbols(piece)
        own = symbols[[k for k, var in enumerate(variables) if id(var) in self._own]]
        return not any(ca.which_depends(function, own, 2, False)) if own.numel() else True

    def _look(self, expression: Any) -> tuple[bool, bool]:
        """Whether an expression moves with the variables, and whether it has a kink in them."""
        if not hasattr(expression, "is_expression_type"):
            return False, False
        stack = [(expression, False)]
        while stack:
            node, left = stack.pop()
            if id(node) in self._facts:
                continue
            if not node.is_expression_type():
                self._note(node, (id(node) in self._own, False))
                continue
            children = [arg for arg in _inside(node) if hasattr(arg, "is_expression_type")]
            if left:
                known = [self._facts[id(arg)] for arg in children]
                moves = any(moving for moving, _ in known)
                bent = moves and isinstance(node, _KINKED)
                self._note(node, (moves, bent or any(kinked for _, kinked in known)))
            else:
                stack.append((node, True))
                stack.extend((arg, False) for arg in children)
        return self._facts[id(expression)]

    def _note(self, node: Any, facts: tuple[bool, bool]) -> None:
        self._facts[id(node)] = facts
        self._kept.append(node)


def _holds_a_kink(expression: Any) -> bool:
    """Whether one of :data:`_KINKED` stands anywhere in an expression, in whatever variables."""
    stack, named = [expression], set[int]()
    while stack:
        node = stack.pop()
        if node.__class__ in _PLAIN or not (hasattr(node, "is_expression_type") and node.is_expression_type()):
            continue
        if isinstance(node, _KINKED):
            return True
        if node.is_named_expression_type():
            if id(node) in named:
                continue
            named.add(id(node))
        stack.extend(_inside(node))
    return False


def _inside(node: Any) -> tuple[Any, ...]:
    """What a node is made of; losses with kinks over few rows as what they are written out."""
    return tuple(node.args) if isinstance(node, RowLosses) and node.rows.bent else parts_of(node)


def _double_of(home: Any) -> tuple[Any, Any]:
    """An empty block of the same full name in a tree of its own, and the root of that."""
    path = []
    while home.parent_block() is not None:
        path.append(home)
        home = home.parent_block()
    root = block = pyo.Block(concrete=True)
    for place in reversed(path):
        component = place.parent_component()
        double = pyo.Block(pyo.Any) if component.is_indexed() else pyo.Block()
        block.add_component(component.local_name, double)
        block = double[place.index()] if component.is_indexed() else double
    return block, root
