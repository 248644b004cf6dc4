"""The interdiction form of MibS: files hold the follower alone, and what it costs to block each of his columns.

An AUX file with ``IC`` lines, the price of blocking each column, and one ``IB``, the budget, stands for

    min -obj y   s.t.  price x <= budget, x binary,
    y in argmin { lower objective y : the file's rows, u_k x_k + y_k <= u_k }

with a binary x_k for each column and the file's objective turned against the leader (DeNegre and Ralphs; MibS,
``MibSModel.cpp``). Here it is written out, and found again in a model that has just this form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bilevel.errors import LoadingError, RefusedError
from bilevel.files.mps import Column, LinearData, Row

BUDGET, BLOCK, BLOCKED = "budget", "block_", "blocked_"


@dataclass(frozen=True)
class Blocking:
    """What blocking each column costs, in the order of the file, and what there is to spend."""

    prices: tuple[float, ...]
    budget: float


def written_out(data: LinearData, blocking: Blocking) -> LinearData:
    """The whole problem: the blocking binaries, then the columns; the budget, the rows, the blocked bounds.

    Raises
    ------
    LoadingError
        If a column has no upper bound that blocking could take away.
    """
    blockers = {name: _new(BLOCK + name, data.columns) for name in data.columns}
    budget = _new(BUDGET, data.rows)
    whole = LinearData(data.name, constant=-data.constant, maximize=data.maximize)
    whole.objective = {name: -value for name, value in data.objective.items()}
    whole.columns = {name: Column(name, 0.0, 1.0, integer=True) for name in blockers.values()} | data.columns
    prices = zip(blockers.values(), blocking.prices, strict=True)
    whole.rows[budget] = Row(budget, -math.inf, blocking.budget, {name: price for name, price in prices if price})
    whole.rows |= data.rows
    for name, column in data.columns.items():
        if not math.isfinite(column.upper):
            raise LoadingError(f"column {name} has no upper bound that blocking it could take away; give it one")
        row = _new(BLOCKED + name, data.rows)
        entries = {blockers[name]: column.upper, name: 1.0}
        whole.rows[row] = Row(row, -math.inf, column.upper, {key: value for key, value in entries.items() if value})
    return whole


def _new(name: str, taken: Iterable[str]) -> str:
    while name in taken:
        name += "_"
    return name


def found_in(data: LinearData, below: list[str], rows: list[str]) -> tuple[LinearData, Blocking]:
    """The follower alone and what blocking costs, of a problem that has this form.

    Parameters
    ----------
    data : LinearData
        The whole problem.
    below, rows : list of str
        Columns and rows of the follower.

    Raises
    ------
    RefusedError
        If it has not; says what is in the way.
    """
    leaders = [name for name in data.columns if name not in below]
    upper = [row for name, row in data.rows.items() if name not in rows]
    if len(upper) != 1 or not math.isinf(upper[0].lower) or not upper[0].coefficients.keys() <= set(leaders):
        raise _other("the leader needs one row, a budget over his binaries alone")
    if any(name in data.objective for name in leaders):
        raise _other("the leader's objective may hold no variable of his own")
    blocker: dict[str, str] = {}
    kept: dict[str, Row] = {}
    for name in rows:
        row = data.rows[name]
        pair = _pair(row, data, set(leaders))
        if pair is not None and pair[0] not in blocker:
            blocker[pair[0]] = pair[1]
        elif row.coefficients.keys() & set(leaders):
            raise _other(f"row {name} does more than to block one column")
        else:
            kept[name] = row
    if sorted(blocker.values()) != sorted(leaders) or set(blocker) != set(below):
        raise _other("each column of the follower needs a binary of its own that blocks it, and no other is there")
    follower = replace(data, constant=-data.constant, columns={name: data.columns[name] for name in below}, rows=kept)
    follower.objective = {name: -value for name, value in data.objective.items()}
    prices = tuple(upper[0].coefficients.get(blocker[name], 0.0) for name in below)
    return follower, Blocking(prices, upper[0].upper)


def _pair(row: Row, data: LinearData, leaders: set[str]) -> tuple[str, str] | None:
    """The column that a row blocks and the binary that does, where it says ``u x + y <= u`` in some multiple."""
    mine = [name for name in row.coefficients if name not in leaders]
    theirs = [name for name in row.coefficients if name in leaders]
    if len(mine) != 1 or len(theirs) != 1:
        return None
    by = row.coefficients[mine[0]]
    ends = (row.lower, row.upper) if by > 0 else (row.upper, row.lower)
    x, top = data.columns[theirs[0]], data.columns[mine[0]].upper
    binary = x.integer and (x.lower, x.upper) == (0.0, 1.0)
    says = math.isinf(ends[0]) and ends[1] / by == top == row.coefficients[theirs[0]] / by
    return (mine[0], theirs[0]) if binary and says else None


def _other(why: str) -> RefusedError:
    return RefusedError(f"form='interdiction' cannot hold this model: {why}; write it with form='name'")
