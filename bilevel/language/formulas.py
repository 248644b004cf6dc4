"""Two expressions that Pyomo lacks: a maximum, and a sum of squares that does not grow with the data's rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pyomo.core.expr.numeric_expr import MaxExpression
from pyomo.core.expr.numvalue import NumericValue

from bilevel.errors import ModelError
from bilevel.language.data import insist_on_numbers, plain
from bilevel.language.squared_distance import Factor, SquaredDistance

_CHUNK = 8_000_000  # numbers factorized at once: 64 MB


def maximum(expressions: Iterable[Any]) -> NumericValue | float:
    """The largest of some expressions, as a Pyomo expression.

    Exact wherever it is evaluated. A single-level model made by ``bilevel.kkt`` lifts it: a new variable ``t`` with
    ``t >= e_i`` and weights ``w_i >= 0``, ``sum w_i = 1``, ``w_i (t - e_i) = 0``; a derivative takes the piece that
    attains it.

    Parameters
    ----------
    expressions : iterable of numbers and Pyomo expressions
        At least one.

    Raises
    ------
    ModelError
        If there is nothing to take the maximum of.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> from bilevel import maximum
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var(bounds=(-1, 4), initialize=3.0)
    >>> worst = maximum([model.x, (model.x - 1) ** 2, 2.5])
    >>> pyo.value(worst)
    4.0
    """
    items = list(expressions)
    if not items:
        raise ModelError("maximum(expressions): there is nothing to take the maximum of")
    numbers = [item for item in items if isinstance(item, (int, float, np.number))]
    others = [item for item in items if not isinstance(item, (int, float, np.number))]
    if not others:
        return max(float(number) for number in numbers)
    args = ([float(max(numbers))] if numbers else []) + others
    return args[0] if len(args) == 1 else MaxExpression(args)


def least_squares(X: Any, y: Any, w: Any) -> NumericValue:
    """``||X w - y||^2`` as a Pyomo expression, whose size does not depend on the rows where X and y are constant.

    With the triangular factor R of ``[X y]`` (QR), ``||X w - y||^2 = ||R [w; -1]||^2``: p + 1 squares of affine terms
    in w, without the loss of digits that forming ``X'X`` costs (Golub and Van Loan, *Matrix Computations*, 5.3). The
    factor of many rows is made from those of its chunks (Demmel, Grigori, Hoemmen and Langou 2012), read once and one
    after the other. The squares stay numbers until somebody needs them written out.

    Parameters
    ----------
    X : array_like, shape (n, p)
        Numbers (also a memory-mapped array, read in chunks), or Pyomo expressions.
    y : array_like, shape (n,)
        Numbers or Pyomo expressions.
    w : indexed pyomo Var or sequence of p expressions
        The coefficients.

    Raises
    ------
    ModelError
        If the shapes disagree or a number is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import pyomo.environ as pyo
    >>> from bilevel import least_squares
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(1000, 2)), rng.normal(size=1000)
    >>> model = pyo.ConcreteModel()
    >>> model.w = pyo.Var([0, 1], initialize=0.5)
    >>> loss = least_squares(X, y, model.w)
    >>> bool(np.isclose(pyo.value(loss), np.sum((X @ [0.5, 0.5] - y) ** 2)))
    True
    """
    coefficients = list(w.values()) if hasattr(w, "values") and not isinstance(w, np.ndarray) else list(w)
    matrix, target = plain(X), plain(y)
    if matrix.ndim != 2 or target.shape != (matrix.shape[0],) or matrix.shape[1] != len(coefficients):
        raise ModelError(
            f"least_squares(X, y, w): X is {matrix.shape}, y is {target.shape}, w has {len(coefficients)} entries;"
            " they must be (n, p), (n,) and p"
        )
    if matrix.dtype == object or target.dtype == object:
        insist_on_numbers(matrix, X, "least_squares(X, y, w): X")
        insist_on_numbers(target, y, "least_squares(X, y, w): y")
        rows = (
            sum(a * c for a, c in zip(row, coefficients, strict=True)) - t
            for row, t in zip(matrix, target, strict=True)
        )
        return sum(row**2 for row in rows)
    factor = _triangular_factor(matrix, target, (X, y))
    return SquaredDistance(Factor(factor[:, :-1].copy(), factor[:, -1].copy()), coefficients)


def _triangular_factor(matrix: Any, target: Any, given: tuple[Any, Any]) -> Any:
    """R of the QR factorization of ``[X y]``, built chunk by chunk; what was given knows its labels."""
    columns = matrix.shape[1] + 1
    count = _rows_at_once(columns)
    factor = np.empty((0, columns))
    for start in range(0, matrix.shape[0], count):
        rows = slice(start, start + count)
        block = np.column_stack([np.asarray(matrix[rows], dtype=float), np.asarray(target[rows], dtype=float)])
        if not np.isfinite(block).all():
            insist_on_numbers(block[:, :-1], given[0], "least_squares(X, y, w): X", start)
            insist_on_numbers(block[:, -1], given[1], "least_squares(X, y, w): y", start)
        factor = np.asarray(np.linalg.qr(np.vstack([factor, block]), mode="r"))
    return factor


def _rows_at_once(columns: int) -> int:
    """Many more rows than columns, so that factorizing the factors again costs little."""
    return max(_CHUNK // columns, 4 * columns)
