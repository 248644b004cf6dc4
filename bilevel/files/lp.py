"""How a mixed-integer linear program is written as an LP file, in CPLEX's form; the way in is ``lp_reader``."""

from __future__ import annotations

import math
import re
from pathlib import Path

from bilevel.errors import RefusedError
from bilevel.files.mps import Column, LinearData, Row
from bilevel.files.texts import write_text

_NAME = re.compile(r"(?![eE]\d)[A-Za-z_!\"#$%&(),;?@`'{}~|][\w!\"#$%&(),.;?@`'{}~|]*")
_WORDS = {"free", "inf", "infinity", "st", "end"}
_WIDTH = 10  # terms a line


def write_lp(data: LinearData, path: str | Path) -> None:
    """Write an LP file; every bound is written out.

    Raises
    ------
    RefusedError
        If a name cannot stand in one.
    """
    for name in (*data.columns, *data.rows):
        if not _NAME.fullmatch(name) or name.lower() in _WORDS:
            raise RefusedError(f"{name!r} is no name in an LP file; write a .mps file")
    objective = {name: data.objective.get(name, 0.0) for name in data.columns}  # each column once, in its order
    constant = [f"{data.constant:+.17g}"] if data.constant else []
    lines = ["Maximize" if data.maximize else "Minimize", f" obj: {_sum(objective, constant)}", "Subject To"]
    lines += [f" {row.name}: {_row(row, data)}" for row in data.rows.values()]
    lines += ["Bounds", *(f" {_bound(column)}" for column in data.columns.values())]
    integers = [f" {column.name}" for column in data.columns.values() if column.integer]
    lines += ["Generals", *integers] if integers else []
    write_text(path, "\n".join([*lines, "End"]) + "\n")


def _sum(entries: dict[str, float], more: list[str]) -> str:
    terms = [f"{value:+.17g} {name}" for name, value in entries.items()] + more
    return "\n   ".join(" ".join(terms[k : k + _WIDTH]) for k in range(0, len(terms), _WIDTH))


def _row(row: Row, data: LinearData) -> str:
    body = _sum(row.coefficients or {next(iter(data.columns)): 0.0}, [])
    if row.lower == row.upper:
        return f"{body} = {row.lower:.17g}"
    if math.isfinite(row.lower) and math.isfinite(row.upper):
        return f"{row.lower:.17g} <= {body} <= {row.upper:.17g}"
    return f"{body} <= {row.upper:.17g}" if math.isinf(row.lower) else f"{body} >= {row.lower:.17g}"


def _bound(column: Column) -> str:
    if math.isinf(column.lower) and math.isinf(column.upper):
        return f"{column.name} free"
    return f"{column.lower:.17g} <= {column.name} <= {column.upper:.17g}"
