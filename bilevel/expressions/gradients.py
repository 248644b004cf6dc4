"""Symbolic gradients of Pyomo expressions in a follower's variables, everything else being data.

Reverse mode on the expression graph (Griewank and Walther 2008, *Evaluating Derivatives*, ch. 3): every node's
adjoint is the sum over its parents of the parent's adjoint times a partial derivative. Two things set this apart from
``pyomo.core.expr.calculus.reverse_sd``:

- A subexpression that mentions none of the variables is a constant and is never entered again, however large. A lower
  level whose data are 20,000 nodes over the leader's x costs what its own algebra costs, and a maximum over x alone
  needs no derivative.
- The adjoint of a named Expression is a named Expression too. What the user shares stays shared in the gradient, so
  that
  its size is that of the graph and not of the tree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pyomo.environ as pyo
from pyomo.core.expr import numeric_expr as ne

from bilevel.errors import RefusedError

_SLOPES: dict[str, Callable[[Any, Any], Any]] = {
    "exp": lambda node, a: node,
    "log": lambda node, a: 1 / a,
    "log10": lambda node, a: 1 / (math.log(10.0) * a),
    "sqrt": lambda node, a: 1 / (2 * node),
    "sin": lambda node, a: pyo.cos(a),
    "cos": lambda node, a: -pyo.sin(a),
    "tan": lambda node, a: 1 + node**2,
    "asin": lambda node, a: 1 / pyo.sqrt(1 - a**2),
    "acos": lambda node, a: -1 / pyo.sqrt(1 - a**2),
    "atan": lambda node, a: 1 / (1 + a**2),
    "sinh": lambda node, a: pyo.cosh(a),
    "cosh": lambda node, a: pyo.sinh(a),
    "tanh": lambda node, a: 1 - node**2,
    "asinh": lambda node, a: 1 / pyo.sqrt(a**2 + 1),
    "acosh": lambda node, a: 1 / pyo.sqrt(a**2 - 1),
    "atanh": lambda node, a: 1 / (1 - a**2),
}
_NONSMOOTH = (ne.MaxExpression, ne.MinExpression, ne.AbsExpression)
_CURE = "write it with a variable and inequalities (an epigraph: t >= each piece, minimise t)"


class Gradients:
    """Gradients in one follower's variables.

    Parameters
    ----------
    variables : iterable of VarData
        What is differentiated by; all else is data.
    share : callable
        ``share(expression)`` stores an adjoint that is used more than once and returns the named Expression that
        holds it.
    """

    def __init__(self, variables: Iterable[Any], share: Callable[[Any], Any]) -> None:
        self._variables = {id(var) for var in variables}
        self._share = share
        self._depends: dict[int, bool] = {}
        self._kept: list[Any] = []  # keeps the ids above from being reused

    def __call__(self, expression: Any, owner: str) -> dict[int, Any]:
        """The partial derivatives that are not identically zero, by the variable's id.

        Raises
        ------
        RefusedError
            If the expression has a kink in the variables, or a function without a derivative; names ``owner``.
        """
        if not self.depends(expression):
            return {}
        if not expression.is_expression_type():
            return {id(expression): 1.0}
        nodes = self._order(expression)
        adjoints: dict[int, list[Any]] = {id(expression): [1.0]}
        gradient: dict[int, Any] = {}
        for node, args in reversed(nodes):
            adjoint = sum(adjoints.pop(id(node)))
            if node.is_named_expression_type() and _is_large(adjoint):
                adjoint = self._share(adjoint)
            for arg, partial in self._partials(node, args, adjoint, owner):
                adjoints.setdefault(id(arg), []).append(partial)
        for key in self._variables & adjoints.keys():
            gradient[key] = sum(adjoints[key])
        return gradient

    def depends(self, expression: Any) -> bool:
        """Whether an expression mentions any of the variables."""
        if not hasattr(expression, "is_expression_type"):
            return False
        stack = [(expression, False)]
        while stack:
            node, left = stack.pop()
            if id(node) in self._depends:
                continue
            if not node.is_expression_type():
                self._note(node, id(node) in self._variables)
                continue
            children = [arg for arg in node.args if hasattr(arg, "is_expression_type")]
            if left:
                self._note(node, any(self._depends[id(arg)] for arg in children))
            else:
                stack.append((node, True))
                stack.extend((arg, False) for arg in children)
        return self._depends[id(expression)]

    def _note(self, node: Any, depends: bool) -> None:
        self._depends[id(node)] = depends
        self._kept.append(node)

    def _active(self, node: Any) -> bool:
        return self._depends.get(id(node), False)

    def _order(self, root: Any) -> list[tuple[Any, tuple[Any, ...]]]:
        """The nodes that depend on the variables, each once, children before parents."""
        order: list[tuple[Any, tuple[Any, ...]]] = []
        seen: set[int] = set()
        stack = [(root, False)]
        while stack:
            node, left = stack.pop()
            if left:
                order.append((node, tuple(node.args)))
            elif id(node) not in seen and node.is_expression_type():
                seen.add(id(node))
                stack.append((node, True))
                stack.extend((arg, False) for arg in node.args if self._active(arg))
        return order

    def _partials(self, node: Any, args: tuple[Any, ...], adjoint: Any, owner: str) -> list[tuple[Any, Any]]:
        """Each argument that depends on the variables, with the node's contribution to its adjoint."""
        active = [self._active(arg) for arg in args]
        if isinstance(node, _NONSMOOTH):
            kind = type(node).__name__.removesuffix("Expression").lower()
            raise RefusedError(f"{owner} holds {kind}(...) of the follower's variables, which has a kink; {_CURE}")
        if isinstance(node, ne.Expr_ifExpression):
            return _of_choice(args, active, adjoint, owner)
        for base, rule in _RULES.items():
            if isinstance(node, base):
                return [(arg, rule(node, args, k, adjoint)) for k, arg in enumerate(args) if active[k]]
        if node.is_named_expression_type():
            return [(args[0], adjoint)]
        if isinstance(node, ne.UnaryFunctionExpression) and node.getname() in _SLOPES:
            return [(args[0], adjoint * _SLOPES[node.getname()](node, args[0]))]
        raise RefusedError(f"{owner} holds {str(node)[:60]}, which has no derivative here; {_CURE}")


def _of_choice(args: tuple[Any, ...], active: list[bool], adjoint: Any, owner: str) -> list[tuple[Any, Any]]:
    """``if c then a else b`` is smooth in what c does not mention."""
    if active[0]:
        raise RefusedError(f"{owner} branches on the follower's variables, which has a kink; {_CURE}")
    condition = args[0]
    both = [(args[1], pyo.Expr_if(condition, adjoint, 0.0)), (args[2], pyo.Expr_if(condition, 0.0, adjoint))]
    return [pair for pair, wanted in zip(both, active[1:], strict=True) if wanted]


def _of_product(node: Any, args: tuple[Any, ...], k: int, adjoint: Any) -> Any:
    return adjoint * args[1 - k]


def _of_division(node: Any, args: tuple[Any, ...], k: int, adjoint: Any) -> Any:
    return adjoint / args[1] if k == 0 else -(adjoint * args[0]) / args[1] ** 2


def _of_power(node: Any, args: tuple[Any, ...], k: int, adjoint: Any) -> Any:
    base, exponent = args
    if k == 1 and not hasattr(base, "is_expression_type") and base == 0.0:
        return 0.0  # 0 ** a is 0 for every a > 0
    return adjoint * (exponent * base ** (exponent - 1)) if k == 0 else adjoint * node * pyo.log(base)


_RULES: dict[type, Callable[[Any, tuple[Any, ...], int, Any], Any]] = {
    ne.SumExpression: lambda node, args, k, adjoint: adjoint,
    ne.ProductExpression: _of_product,
    ne.DivisionExpression: _of_division,
    ne.PowExpression: _of_power,
    ne.NegationExpression: lambda node, args, k, adjoint: -adjoint,
}


def _is_large(adjoint: Any) -> bool:
    """Whether an adjoint is worth a name: more than a product of two leaves."""
    if not hasattr(adjoint, "is_expression_type") or not adjoint.is_expression_type():
        return False
    return any(getattr(arg, "is_expression_type", bool)() for arg in adjoint.args)
