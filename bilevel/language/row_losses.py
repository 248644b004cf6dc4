"""``sum_i r_i loss(x_i' w, y_i)``: a loss over rows of data as one node of a Pyomo expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyomo.core.expr.numvalue import NumericValue

from bilevel.arrays import Array
from bilevel.errors import ModelError, RefusedError
from bilevel.language.data_term import DataTerm
from bilevel.language.losses import Loss, loss_named

LARGEST = 200_000
"""Entries of the data up to which the rows are written out in symbols where somebody needs them so."""

_LARGEST_EXPRESSION = 20_000  # up to which they are in Pyomo, which takes a hundred times as long


@dataclass(frozen=True, eq=False)
class Rows:
    """The numbers: immutable, and shared between clones of a model.

    Attributes
    ----------
    loss : Loss
        Of one row.
    matrix : ndarray of shape (n, p)
        X.
    target : ndarray of shape (n,)
        y.
    weights : ndarray of shape (n,) or None
        r, where they are numbers other than one.
    kept : bool
        Whether they stay arrays however few they are.
    """

    loss: Loss
    matrix: Array
    target: Array
    weights: Array | None = None
    kept: bool = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Rows:
        return self

    @property
    def bent(self) -> bool:
        """Whether they have kinks, for which a few rows get variables of their own."""
        return self.loss.lines is not None and bool(self.matrix.size <= _LARGEST_EXPRESSION)

    @property
    def may_be_written(self) -> bool:
        """Whether they are few enough to be written out one by one."""
        return bool(self.matrix.size <= LARGEST)

    def refuse_written(self, limit: int | None = None) -> None:
        """Refuse to write out what is too large for that."""
        n, p = self.matrix.shape
        if self.matrix.size > (LARGEST if limit is None else limit):
            raise RefusedError(
                f"rows_of({self.loss.name!r}) over {n} x {p} numbers would have to be written out row by row here, and"
                f" it is kept as arrays: its coefficients must be variables of one follower, none of them fixed, and"
                " what multiplies it, its weights too, must be a function of the upper variables; searches"
                " (method='gradient') take it so, exact paths do not"
            )


class RowLosses(DataTerm):
    """``sum_i r_i loss(x_i' w, y_i)``.

    Parameters
    ----------
    rows : Rows
        Loss, X, y, and r where they are numbers.
    coefficients : sequence of p expressions
        w.
    weights : sequence of n expressions
        r where they are no numbers; else nothing.
    """

    __slots__ = ("coefficients", "rows", "weights")

    def __init__(self, rows: Rows, coefficients: Sequence[Any], weights: Sequence[Any] = ()) -> None:
        super().__init__()
        self.rows = rows
        self.coefficients = tuple(coefficients)
        self.weights = tuple(weights)

    @property
    def operands(self) -> tuple[Any, ...]:
        """The coefficients, then the weights."""
        return self.coefficients + self.weights

    @property
    def size(self) -> int:
        """See :class:`bilevel.language.data_term.DataTerm`."""
        return int(self.rows.matrix.size)

    @property
    def name(self) -> str:
        """What it says in messages."""
        return f"rows_of({self.rows.loss.name!r}) over {len(self.rows.target)} rows"

    def at(self, values: Array) -> float:
        """See :class:`bilevel.language.data_term.DataTerm`."""
        p, rows = len(self.coefficients), self.rows
        with np.errstate(over="ignore"):
            found = rows.loss.values(rows.matrix @ values[:p], rows.target)
        weights = values[p:] if self.weights else rows.weights
        return float(found.sum() if weights is None else found @ weights)

    def written_out(self) -> Any:
        """See :class:`bilevel.language.data_term.DataTerm`."""
        rows, w = self.rows, self.coefficients
        rows.refuse_written(min(LARGEST, _LARGEST_EXPRESSION))
        weights = self.weights or (np.ones(len(rows.target)) if rows.weights is None else rows.weights).tolist()
        return _written(rows.loss, rows.matrix.tolist(), w, rows.target.tolist(), weights)


def rows_of(
    loss: Any,
    X: Any,
    w: Any,
    y: Any,
    weights: Any = None,
    *,
    delta: float = 1.0,
    quantile: float = 0.5,
    epsilon: float = 0.1,
) -> NumericValue:
    """``sum_i weights_i loss(X_i w, y_i)`` as a Pyomo expression, whose data stay arrays.

    What :func:`bilevel.least_squares` is to squares, for losses whose curvature moves with w. Values, gradients
    ``X'(r l')`` and Hessians ``X' diag(r l'') X`` are products of matrices, so that neither compiling nor evaluating
    sees one symbol per row. Convexity is known from the loss.

    Parameters
    ----------
    loss : str or callable
        ``"logistic"``, ``log(1 + exp(-y z))`` with classes y in {-1, 1}; ``"poisson"``, ``exp(z) - y z`` with counts
        y >= 0; ``"huber"``, ``(z - y)^2 / 2`` within ``delta`` and linear outside; ``"squared_hinge"``,
        ``max(0, 1 - y z)^2``, and ``"smooth_hinge"``, its half that goes on as a line, with classes in {-1, 1}. With
        a kink, for followers that are support vector machines, quantile regressions or tubes: ``"hinge"``,
        ``max(0, 1 - y z)``; ``"pinball"``, ``quantile max(y - z, 0) + (1 - quantile) max(z - y, 0)``;
        ``"epsilon_insensitive"``, ``max(0, |z - y| - epsilon)``. For the leader alone, ``"zero_one"``: 1 where z is
        above zero and y is -1, or is not and y is 1, which counts a classifier's errors. Or a function
        ``(prediction, target)`` that gives a Pyomo expression.
    X : array_like, shape (n, p)
        Numbers, or Pyomo expressions; a column of ones gives an intercept.
    w : indexed pyomo Var or sequence of p expressions
        The coefficients.
    y : array_like, shape (n,)
        Numbers.
    weights : array_like of shape (n,) or indexed pyomo Var, optional
        What each row counts, 1 unless given: numbers, upper variables or functions of them.
    delta, quantile, epsilon : float
        Of ``"huber"``, ``"pinball"`` and ``"epsilon_insensitive"``.

    Raises
    ------
    ModelError
        If there is no such loss, the shapes disagree, a number is not finite, a weight is negative, or y does not
        belong to the loss.

    Examples
    --------
    >>> import numpy as np
    >>> import pyomo.environ as pyo
    >>> from bilevel import rows_of
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(1000, 2)), rng.choice([-1.0, 1.0], size=1000)
    >>> model = pyo.ConcreteModel()
    >>> model.w = pyo.Var([0, 1], initialize=0.5)
    >>> loss = rows_of("logistic", X, model.w, y)
    >>> bool(np.isclose(pyo.value(loss), np.log1p(np.exp(-y * (X @ [0.5, 0.5]))).sum()))
    True
    """
    kind, coefficients = loss_named(loss, delta, quantile, epsilon), _listed(w)
    matrix, target = np.asarray(X), np.asarray(y)
    count = None if weights is None else _listed(weights)
    if (
        matrix.ndim != 2
        or target.shape != matrix.shape[:1]
        or matrix.shape[1] != len(coefficients)
        or (count is not None and len(count) != len(target))
    ):
        raise ModelError(
            f"rows_of(loss, X, w, y): X is {matrix.shape}, w has {len(coefficients)} entries, y is {target.shape}"
            f"{'' if count is None else f', weights has {len(count)}'}; they must be (n, p), p, (n,) and n"
        )
    target = _finite(target, "y")
    wrong = kind.refusal(target)
    if wrong:
        raise ModelError(f"rows_of({kind.name!r}, X, w, y): {wrong}")
    numbers, expressions = _weights(count)
    if matrix.dtype == object:
        given = expressions or (np.ones(len(target)) if numbers is None else numbers).tolist()
        return _written(kind, matrix.tolist(), coefficients, target.tolist(), given)
    return RowLosses(Rows(kind, _finite(matrix, "X"), target, numbers, kind.jumps), coefficients, expressions)


def _written(loss: Loss, matrix: Any, w: Sequence[Any], target: list[float], weights: Sequence[Any]) -> Any:
    return sum(
        r * loss.formula(sum(a * c for a, c in zip(row, w, strict=True)), t)
        for row, t, r in zip(matrix, target, weights, strict=True)
    )


def _listed(values: Any) -> list[Any]:
    """The entries of an indexed component, or of a sequence."""
    return list(values.values()) if hasattr(values, "values") and not isinstance(values, np.ndarray) else list(values)


def _finite(values: Any, name: str) -> Array:
    try:
        found = np.array(values, dtype=float, order="C")
    except (TypeError, ValueError):
        raise ModelError(f"rows_of(loss, X, w, y): {name} holds what is no number") from None
    if not np.isfinite(found).all():
        where = np.argwhere(~np.isfinite(found))[0].tolist()
        raise ModelError(f"rows_of(loss, X, w, y): {name} at {where} is not finite; drop such rows first")
    return found


def _weights(given: list[Any] | None) -> tuple[Array | None, list[Any]]:
    """Weights that are numbers, or else expressions."""
    if given is None:
        return None, []
    if any(hasattr(weight, "is_expression_type") for weight in given):
        return None, given
    numbers = _finite(given, "weights")
    if (numbers < 0.0).any():
        raise ModelError(
            f"rows_of(loss, X, w, y): the weight of row {int(np.argmin(numbers))} is {numbers.min():g}; weights must"
            " not be negative"
        )
    return numbers, []
