"""From Pyomo expressions to any arithmetic: CasADi's symbols for compiled functions, floats for an independent check.

One walk with an explicit stack (so that a recursion of thousands of steps does not meet Python's limit), which visits
every named ``Expression`` once and reuses its translation, so that a chain ``A[t] = x[t] + theta A[t-1]`` costs its
length, not its square.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

import casadi as ca
import numpy as np
from pyomo.common.errors import PyomoException
from pyomo.common.numeric_types import native_numeric_types
from pyomo.core.expr import numeric_expr as ne
from pyomo.core.expr import relational_expr as re_

from bilevel.errors import ModelError, UntranslatableError
from bilevel.expressions.holes import holes_in
from bilevel.expressions.squares import in_symbols
from bilevel.language.data_term import DataTerm
from bilevel.language.squared_distance import SquaredDistance


class _NotFiniteError(ModelError):
    """A constant is NaN or infinite."""


Leaf = Callable[[Any], Any]
Keep = Callable[[DataTerm, list[Any]], Any]


class Arithmetic:
    """The operations a translation needs, on floats. Domain errors give NaN, as they do in compiled code."""

    unary: Mapping[str, Callable[[Any], Any]] = {
        name: getattr(math, name)
        for name in [
            "exp",
            "log",
            "log10",
            "sin",
            "cos",
            "tan",
            "asin",
            "acos",
            "atan",
            "sinh",
            "cosh",
            "tanh",
            "asinh",
            "acosh",
            "atanh",
            "sqrt",
            "ceil",
            "floor",
        ]
    }

    def apply(self, name: str, argument: Any) -> Any:
        """A function of one argument, by its Pyomo name."""
        try:
            return self.unary[name](argument)
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan

    def add(self, a: Any, b: Any) -> Any:
        """``a + b``."""
        return a + b

    def multiply(self, a: Any, b: Any) -> Any:
        """``a * b``."""
        return a * b

    def power(self, base: Any, exponent: Any) -> Any:
        """``base ** exponent``."""
        try:
            return math.pow(base, exponent)
        except OverflowError:
            return math.inf
        except (ValueError, ZeroDivisionError):
            return math.nan

    def divide(self, a: Any, b: Any) -> Any:
        """``a / b``."""
        return a / b if b != 0 else math.nan

    def maximum(self, items: list[Any]) -> Any:
        """The largest item."""
        return max(items)

    def minimum(self, items: list[Any]) -> Any:
        """The smallest item."""
        return min(items)

    def select(self, condition: Any, then: Any, otherwise: Any) -> Any:
        """``then`` where the condition holds, else ``otherwise``."""
        return then if condition else otherwise

    def data_term(self, node: DataTerm, operands: list[Any]) -> Any:
        """A term over data, or None to have it written out."""
        return node.at(np.asarray(operands, dtype=float))

    def is_no_number(self, value: Any) -> bool:
        """Whether a translation is no number whatever the variables are; at a point, that is the point's affair."""
        return False


class _CasadiArithmetic(Arithmetic):
    """The same operations on CasADi's scalar symbols; a call on plain numbers stays a plain number.

    ``keep(node, operands)`` may give a symbol that stands for a term over data, or None to have it written out.
    """

    unary: Mapping[str, Callable[[Any], Any]] = {name: getattr(ca, name) for name in Arithmetic.unary}

    def __init__(self, keep: Keep | None = None) -> None:
        self._keep = keep

    def data_term(self, node: DataTerm, operands: list[Any]) -> Any:
        if not any(isinstance(value, ca.SX) for value in operands):
            return super().data_term(node, operands)
        kept = None if self._keep is None else self._keep(node, operands)
        if kept is None and isinstance(node, SquaredDistance):
            return in_symbols(node.factor, ca.vertcat(*map(ca.SX, operands)))
        return kept

    def is_no_number(self, value: Any) -> bool:
        if not isinstance(value, ca.SX):
            return not math.isfinite(value)
        whole = ca.Function("whole", ca.symvar(value), [value])
        kinds = [whole.instruction_id(k) for k in range(whole.n_instructions())]
        if ca.OP_IF_ELSE_ZERO in kinds:  # it may stand in a branch that is never taken
            return False
        return any(
            not math.isfinite(whole.instruction_constant(k)) for k, kind in enumerate(kinds) if kind == ca.OP_CONST
        )

    def apply(self, name: str, argument: Any) -> Any:
        return super().apply(name, argument) if isinstance(argument, ca.SX) else _FLOATS.apply(name, argument)

    def add(self, a: Any, b: Any) -> Any:
        return _binary(ca.OP_ADD, a, b, _FLOATS.add)

    def multiply(self, a: Any, b: Any) -> Any:
        return _binary(ca.OP_MUL, a, b, _FLOATS.multiply)

    def power(self, base: Any, exponent: Any) -> Any:
        return _binary(ca.OP_POW, base, exponent, _FLOATS.power)

    def divide(self, a: Any, b: Any) -> Any:
        return _binary(ca.OP_DIV, a, b, _FLOATS.divide)

    def maximum(self, items: list[Any]) -> Any:
        return _balanced(ca.fmax, items)

    def minimum(self, items: list[Any]) -> Any:
        return _balanced(ca.fmin, items)

    def select(self, condition: Any, then: Any, otherwise: Any) -> Any:
        return (
            ca.if_else(condition, then, otherwise)
            if isinstance(condition, ca.SX)
            else super().select(condition, then, otherwise)
        )


_FLOATS = Arithmetic()


def _binary(operation: int, a: Any, b: Any, on_floats: Callable[[Any, Any], Any]) -> Any:
    """What Python's operator gives, at a fifth of the operator's own cost."""
    left, right = isinstance(a, ca.SX), isinstance(b, ca.SX)
    if not (left or right):
        return on_floats(a, b)
    return ca.SX.binary(operation, a if left else ca.SX(a), b if right else ca.SX(b))


def _balanced(operation: Callable[[Any, Any], Any], items: list[Any]) -> Any:
    """Combine pairwise, so that the graph's depth grows with the logarithm of the number of items."""
    while len(items) > 1:
        items = [operation(*items[i : i + 2]) if i + 1 < len(items) else items[i] for i in range(0, len(items), 2)]
    return items[0]


def _sum(arithmetic: Arithmetic, node: Any, values: list[Any]) -> Any:
    return reduce(arithmetic.add, values) if values else 0.0


class Translator:
    """Translates Pyomo expressions into one arithmetic.

    Parameters
    ----------
    leaf : callable
        ``leaf(variable_or_parameter_data)`` gives its translation, or None to take its present value as a constant.
    arithmetic : Arithmetic
        Where the operations live.
    """

    def __init__(self, leaf: Leaf, arithmetic: Arithmetic) -> None:
        self._leaf = leaf
        self._arithmetic = arithmetic
        self._suspect: Any = None  # a node over constants alone that is no number, and may not count
        self._named: dict[int, Any] = {}
        self._kept: list[Any] = []  # keeps the ids above from being reused

    def __call__(self, expression: Any) -> Any:
        """Translate one expression (a number, a variable or an expression tree).

        Raises
        ------
        UntranslatableError
            If a node has no translation.
        ModelError
            If a constant is NaN or infinite, or a category stands in algebra, or what has no value whatever the
            variables are.
        """
        try:
            value = self._walked(expression)
            if self._suspect is not None and self._arithmetic.is_no_number(value):
                raise ModelError(
                    f"{str(self._suspect)[:60]} is no number, whatever the variables are: a division by zero, or a"
                    " function outside its domain; mend its data"
                )
            return value
        except _NotFiniteError as error:
            holes = holes_in(expression)
            raise ModelError(
                f"{error}{f' ({holes})' if holes else ''}; every number in a model must be finite"
            ) from None

    def _walked(self, expression: Any) -> Any:
        done, value = self._at_once(expression)
        if done:
            return value
        stack: list[tuple[Any, tuple[Any, ...], int, list[Any]]] = []
        values: list[Any] = []
        node, args, position = expression, parts_of(expression), 0
        while True:
            while position < len(args):
                child = args[position]
                if child is None:
                    raise UntranslatableError(f"the named Expression {node.name} has no expression; give it one")
                done, value = self._at_once(child)
                if not done:
                    stack.append((node, args, position, values))
                    node, args, position, values = child, parts_of(child), 0, []
                    continue
                values.append(value)
                position += 1
            result = self._combine(node, values)
            if not stack:
                return result
            node, args, position, values = stack.pop()
            values.append(result)
            position += 1

    def _at_once(self, node: Any) -> tuple[bool, Any]:
        """The translation of a leaf or of a named expression already met."""
        if node.__class__ in (int, float):
            return True, _finite(float(node))
        if not hasattr(node, "is_expression_type"):
            return True, _finite(_number(node))
        if node.is_expression_type():
            value = self._named.get(id(node))
            return value is not None, value
        value = self._leaf(node)
        return True, _finite(_constant(node)) if value is None else value

    def _combine(self, node: Any, values: list[Any]) -> Any:
        rule = _RULES.get(node.__class__)
        if rule is not None:
            value = rule(self._arithmetic, node, values)
            if (value.__class__ is float and not math.isfinite(value)) or _by_zero(node, values):
                self._suspect = node
            return value
        if node.is_named_expression_type():
            value = self._of_data(node, values) if isinstance(node, DataTerm) else values[0]
            self._named[id(node)] = value
            self._kept.append(node)
            return value
        for base, rule in _RULES.items():
            if isinstance(node, base):
                _RULES[node.__class__] = rule
                return rule(self._arithmetic, node, values)
        raise UntranslatableError(f"{type(node).__name__} ({str(node)[:60]}) has no compiled form")

    def _of_data(self, node: DataTerm, operands: list[Any]) -> Any:
        value = self._arithmetic.data_term(node, operands)
        return Translator(self._leaf, self._arithmetic)(node.written_out()) if value is None else value


def _by_zero(node: Any, values: list[Any]) -> bool:
    return node.__class__ is ne.DivisionExpression and values[1].__class__ is float and values[1] == 0.0


def parts_of(node: Any) -> tuple[Any, ...]:
    """What a node is made of; of a term over data its operands, without writing it out."""
    return node.operands if isinstance(node, DataTerm) else tuple(node.args)


def _number(node: Any) -> float:
    try:
        return float(node)
    except (TypeError, ValueError):
        raise UntranslatableError(f"{node!r} is not a number") from None


def _constant(node: Any) -> float:
    try:
        value = node.value
    except ValueError:  # Pyomo's way to say that a mutable Param was never given one
        value = None
    if isinstance(value, (str, bytes, tuple)) or (value is None and _is_text(getattr(node, "domain", ()))):
        said = f" ({value!r})" if value is not None else ""
        raise ModelError(f"{node.name} is a category{said} and cannot stand in an algebraic expression")
    if value is None:
        cure = "give it one" + (", or leave it unfixed" if node.is_variable_type() else "")
        raise ModelError(f"{node.name} has no value; {cure}")
    return float(value)


def _is_text(domain: Any) -> bool:
    finite = hasattr(domain, "isfinite") and bool(domain.isfinite())
    return finite and any(v is None or isinstance(v, (str, bytes, tuple)) for v in domain)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise _NotFiniteError(f"a coefficient is {value}")
    return value


def _product(arithmetic: Arithmetic, node: Any, v: list[Any]) -> Any:
    return arithmetic.multiply(v[0], v[1])


def _power(arithmetic: Arithmetic, node: Any, v: list[Any]) -> Any:
    """``0 ** a`` is 0 for every a > 0, and so is its derivative, which a logarithm of zero would hide."""
    base, exponent = v
    if not (_is_zero(base) and isinstance(exponent, ca.SX)):
        return arithmetic.power(base, exponent)
    if _surely_positive(node.args[1]):
        return 0.0
    return arithmetic.select(exponent > 0, 0.0, arithmetic.power(base, exponent))


def _is_zero(value: Any) -> bool:
    return bool(value.is_zero()) if isinstance(value, ca.SX) else value == 0.0


def _surely_positive(exponent: Any) -> bool:
    """Whether its variables' bounds say so."""
    from pyomo.contrib.fbbt.fbbt import compute_bounds_on_expr  # seldom needed, and slow to import

    try:
        low, _ = compute_bounds_on_expr(exponent)
    except (ValueError, ArithmeticError, PyomoException):
        return False
    return low is not None and low > 0


def _at_most(arithmetic: Arithmetic, node: Any, v: list[Any]) -> Any:
    return v[0] < v[1] if node.strict else v[0] <= v[1]


_RULES: dict[type, Callable[[Arithmetic, Any, list[Any]], Any]] = {
    ne.SumExpression: _sum,
    ne.LinearExpression: _sum,
    ne.MonomialTermExpression: _product,
    ne.ProductExpression: _product,
    ne.DivisionExpression: lambda a, n, v: a.divide(v[0], v[1]),
    ne.PowExpression: _power,
    ne.NegationExpression: lambda a, n, v: -v[0],
    ne.AbsExpression: lambda a, n, v: abs(v[0]) if not isinstance(v[0], ca.SX) else ca.fabs(v[0]),
    ne.MaxExpression: lambda a, n, v: a.maximum(v),
    ne.MinExpression: lambda a, n, v: a.minimum(v),
    ne.Expr_ifExpression: lambda a, n, v: a.select(*v),
    ne.UnaryFunctionExpression: lambda a, n, v: a.apply(n.getname(), v[0]),
    re_.InequalityExpression: _at_most,
    re_.EqualityExpression: lambda a, n, v: v[0] == v[1],
}


def to_casadi(leaf: Leaf, keep: Keep | None = None) -> Translator:
    """A translator to CasADi's scalar symbols; ``keep`` may keep squared distances out of them."""
    return Translator(leaf, _CasadiArithmetic(keep))


def evaluator(values: Mapping[int, float]) -> Translator:
    """A translator to floats: ``values`` maps ``id(variable)`` to its value; what it lacks has its present one.

    Independent of the compiled path; the verification uses it.
    """
    return Translator(lambda node: values.get(id(node)), Arithmetic())


def mentioned(expressions: Iterable[Any]) -> dict[int, Any]:
    """The unfixed variables some expressions mention, by id, in the order met; named Expressions are visited once."""
    found: dict[int, Any] = {}
    seen: set[int] = set()
    stack = [e for e in expressions if hasattr(e, "is_expression_type")]
    stack.reverse()
    while stack:
        node = stack.pop()
        if node.__class__ is ne.MonomialTermExpression and node.args[0].__class__ in native_numeric_types:
            node = node.args[1]
        if node.is_expression_type():
            if node.is_named_expression_type():
                if id(node) in seen:
                    continue
                seen.add(id(node))
            stack.extend(arg for arg in reversed(parts_of(node)) if hasattr(arg, "is_expression_type"))
        elif node.is_variable_type() and not node.fixed:
            found.setdefault(id(node), node)
    return found
