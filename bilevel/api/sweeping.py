"""The best over all else at each of several values of one upper variable: a curve of optima."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bilevel.api.solving import solve
from bilevel.errors import ModelError

if TYPE_CHECKING:
    from pandas import DataFrame


def sweep(
    model: Any,
    variable: str,
    values: Iterable[float],
    method: str = "auto",
    *,
    read: Sequence[str] = (),
    **options: Any,
) -> DataFrame:
    """Solve a model once for each value of an upper variable (needs pandas).

    Parameters
    ----------
    model : ConcreteModel
        Stays as it is.
    variable : str
        The component name of an upper variable.
    values : iterable of float
        What it is held at.
    method : str
        As for :func:`~bilevel.api.solving.solve`.
    read : sequence of str
        Named Expressions, Params or Constraints whose values at each answer are columns as well.
    **options
        As for :func:`~bilevel.api.solving.solve`; ``time_limit`` is each solve's.

    Returns
    -------
    DataFrame
        A row per value, indexed by it: ``upper_objective``, ``bound``, ``verdict``, what is to be ``read``, and every
        other variable of both levels. Where no point was found the row says why and holds no numbers.

    Raises
    ------
    ModelError
        If there is no such variable.

    Examples
    --------
    >>> import bilevel, pyomo.environ as pyo
    >>> m = pyo.ConcreteModel()
    >>> m.x, m.low = pyo.Var(bounds=(0, 4)), bilevel.LowerLevel()
    >>> m.low.y = pyo.Var(bounds=(0, 9))
    >>> m.low.obj = pyo.Objective(expr=(m.low.y - 2 * m.x) ** 2)
    >>> m.obj = pyo.Objective(expr=m.x**2 + m.low.y)
    >>> bilevel.sweep(m, "x", [1.0, 2.0])["upper_objective"].round(6).tolist()
    [3.0, 8.0]
    """
    import pandas

    if model.find_component(variable) is None:
        raise ModelError(f"the model has no variable {variable!r}; sweep takes the component name of an upper variable")
    rows = []
    for value in values:
        at = model.clone()
        held = at.find_component(variable)
        held.setlb(value)
        held.setub(value)
        held.set_value(value, skip_validation=True)
        result = solve(at, method, **options)
        found = {name: result.value(name) for name in read} if result.verdict.holds_a_point else {}
        rest = {name: each for name, each in {**result.upper, **result.lower}.items() if name != variable}
        head = {"upper_objective": result.upper_objective, "bound": result.bound, "verdict": str(result.verdict)}
        rows.append({variable: value, **head, **found, **rest})
    return pandas.DataFrame(rows).set_index(variable)
