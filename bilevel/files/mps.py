"""A mixed-integer linear program as rows and columns, and how it is written as an MPS file.

Free format, as CPLEX, COIN-OR and HiGHS read it; a right-hand side of the objective is minus its constant. The way in
is :mod:`bilevel.files.mps_reader`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bilevel.files.texts import write_text

_MARKERS = {True: " MARKER 'MARKER' 'INTORG'", False: " MARKER 'MARKER' 'INTEND'"}


@dataclass
class Column:
    """A variable: its bounds, and whether it is integer."""

    name: str
    lower: float = 0.0
    upper: float = math.inf
    integer: bool = False


@dataclass
class Row:
    """A constraint ``lower <= sum of coefficient times column <= upper``."""

    name: str
    lower: float
    upper: float
    coefficients: dict[str, float] = field(default_factory=dict)


@dataclass
class LinearData:
    """What an MPS file holds.

    Attributes
    ----------
    name : str
        Of the instance.
    objective : dict of float
        Coefficients by column.
    constant : float
        Of the objective.
    maximize : bool
        The objective's sense.
    columns, rows : dict
        By name, in the file's order; free rows are left out.
    """

    name: str = ""
    objective: dict[str, float] = field(default_factory=dict)
    constant: float = 0.0
    maximize: bool = False
    columns: dict[str, Column] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)


def write_mps(data: LinearData, path: str | Path) -> None:
    """Write an MPS file in free format; every bound is written out, for readers differ in their defaults."""
    lines = [f"NAME {data.name or 'bilevel'}"]
    if data.maximize:
        lines += ["OBJSENSE", "    MAX"]
    objective = _new_name("OBJ", data.rows)
    lines += ["ROWS", f" N {objective}", *(f" {_kind(row)[0]} {row.name}" for row in data.rows.values())]
    lines += ["COLUMNS", *_column_lines(data, objective), "RHS"]
    if data.constant:
        lines.append(f" RHS {objective} {-data.constant!r}")
    lines += [f" RHS {row.name} {_kind(row)[1]!r}" for row in data.rows.values() if _kind(row)[1]]
    spans = [(row.name, _kind(row)[2]) for row in data.rows.values()]
    if any(span is not None for _, span in spans):
        lines += ["RANGES", *(f" RNG {name} {span!r}" for name, span in spans if span is not None)]
    lines += ["BOUNDS", *(line for column in data.columns.values() for line in _bound_lines(column)), "ENDATA"]
    write_text(path, "\n".join(lines) + "\n")


def _new_name(name: str, taken: Iterable[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _kind(row: Row) -> tuple[str, float, float | None]:
    """A row's type, right-hand side and range."""
    if row.lower == row.upper:
        return "E", row.lower, None
    if math.isinf(row.lower):
        return "L", row.upper, None
    if math.isinf(row.upper):
        return "G", row.lower, None
    span = row.upper - row.lower
    return ("G", row.lower, span) if row.lower + span == row.upper else ("L", row.upper, span)


def _column_lines(data: LinearData, objective: str) -> Iterator[str]:
    entries: dict[str, list[tuple[str, float]]] = {name: [] for name in data.columns}
    for name, value in data.objective.items():
        entries[name].append((objective, value))
    for row in data.rows.values():
        for name, value in row.coefficients.items():
            entries[name].append((row.name, value))
    integer = False
    for name, column in data.columns.items():
        if column.integer != integer:
            integer = column.integer
            yield _MARKERS[integer]
        for row_name, value in entries[name] or [(objective, 0.0)]:
            yield f" {name} {row_name} {value!r}"
    if integer:
        yield _MARKERS[False]


def _bound_lines(column: Column) -> Iterator[str]:
    low, high, name = column.lower, column.upper, column.name
    if low == high:
        yield f" FX BND {name} {low!r}"
    elif math.isinf(low) and math.isinf(high):
        yield f" FR BND {name}"
    else:
        yield f" MI BND {name}" if math.isinf(low) else f" LO BND {name} {low!r}"
        yield f" PL BND {name}" if math.isinf(high) else f" UP BND {name} {high!r}"
