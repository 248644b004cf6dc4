"""MPS files, fixed and free, read strictly.

The format as CPLEX, COIN-OR and HiGHS agree on it: RANGES, OBJSENSE, OBJNAME, integer markers; an integer column
without bounds is binary; a right-hand side of the objective is minus its constant. Where readers differ or would
guess, this one refuses and names the line: HiGHS's own, say, drops an entry in an unknown row, and text that is no
number, in silence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bilevel.errors import LoadingError
from bilevel.files.mps import Column, LinearData, Row
from bilevel.files.texts import read_text

INFINITE = 1e20
"""Bounds from here on are none."""

_FIELDS = ((1, 3), (4, 12), (14, 22), (24, 36), (39, 47), (49, 61))  # of the fixed format, from column 0
_SECTIONS = ("NAME", "OBJSENSE", "OBJNAME", "ROWS", "COLUMNS", "RHS", "RANGES", "BOUNDS", "ENDATA")


def read_mps(path: str | Path) -> LinearData:
    """Read an MPS file, free or fixed, gzipped where its name ends in ``.gz``.

    Raises
    ------
    LoadingError
        Naming the file, the line and the cure.
    """
    lines = read_text(path).splitlines()
    try:
        return _Reader(path, str.split).read(lines)
    except LoadingError as free:
        try:  # names with blanks exist in the fixed format alone
            return _Reader(path, _fixed).read(lines)
        except LoadingError:
            raise free from None


def _fixed(line: str) -> list[str]:
    found = [line[start:end].strip() for start, end in _FIELDS]
    return [part for part in found if part]


class _Reader:
    """One pass over the lines; ``split`` cuts a data line into its fields."""

    def __init__(self, path: str | Path, split: Callable[[str], list[str]]) -> None:
        self._path, self._split = path, split
        self._line = 0
        self._data = LinearData()
        self._kinds: dict[str, str] = {}
        self._objective = ""
        self._rhs: dict[str, float] = {}
        self._ranges: dict[str, float] = {}
        self._integer = False
        self._bounded: set[str] = set()

    def read(self, lines: Iterable[str]) -> LinearData:
        """Everything up to ENDATA."""
        section = ""
        for self._line, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("*"):
                continue
            if not line[0].isspace():
                section, *rest = line.split()
                section = section.upper()
                if section == "ENDATA":
                    return self._finish()
                self._start(section, rest)
            else:
                self._entry(section, self._split(line))
        raise self._wrong("the file ends without ENDATA", "add it, or get the whole file")

    def _wrong(self, what: str, cure: str) -> LoadingError:
        return LoadingError(f"{self._path}, line {self._line}: {what}; {cure}")

    def _start(self, section: str, rest: list[str]) -> None:
        if section not in _SECTIONS:
            raise self._wrong(f"section {section} is not read", f"a linear program has {', '.join(_SECTIONS)}")
        if section == "NAME":
            self._data.name = rest[0] if rest else ""
        elif section == "OBJSENSE" and rest:
            self._sense(rest[0])
        elif section == "OBJNAME" and rest:
            self._objective = rest[0]

    def _entry(self, section: str, parts: list[str]) -> None:
        if section == "OBJSENSE":
            self._sense(parts[0])
        elif section == "OBJNAME":
            self._objective = parts[0]
        elif section == "ROWS":
            self._row(parts)
        elif section == "COLUMNS":
            self._column(parts)
        elif section in ("RHS", "RANGES"):
            target = self._rhs if section == "RHS" else self._ranges
            for name, value in self._pairs(parts if len(parts) % 2 == 0 else parts[1:]):
                self._known_row(name)
                target[name] = value
        elif section == "BOUNDS":
            self._bound(parts)
        else:
            raise self._wrong(
                f"data in section {section or 'none'}", f"put it under one of {', '.join(_SECTIONS[3:8])}"
            )

    def _sense(self, word: str) -> None:
        if not re.fullmatch(r"(?i)max(imi[sz]e)?|min(imi[sz]e)?", word):
            raise self._wrong(f"{word} is no sense", "write MAX or MIN")
        self._data.maximize = word.upper().startswith("MAX")

    def _row(self, parts: list[str]) -> None:
        kind = parts[0].upper()
        if len(parts) != 2 or kind not in ("N", "L", "G", "E"):
            raise self._wrong(f"{' '.join(parts)!r} is no row", "write its type (N, L, G or E) and its name")
        if parts[1] in self._kinds:
            raise self._wrong(f"row {parts[1]} is declared twice", "give each row a name of its own")
        self._kinds[parts[1]] = kind
        if kind == "N":
            self._objective = self._objective or parts[1]
        else:
            self._data.rows[parts[1]] = Row(parts[1], -math.inf, math.inf)

    def _column(self, parts: list[str]) -> None:
        if len(parts) >= 3 and parts[1].strip("'\"").upper() == "MARKER":
            word = parts[2].strip("'\"").upper()
            if word not in ("INTORG", "INTEND"):
                raise self._wrong(f"marker {parts[2]} is not read", "write 'INTORG' or 'INTEND'")
            self._integer = word == "INTORG"
            return
        name = parts[0]
        column = self._data.columns.setdefault(name, Column(name, integer=self._integer))
        if column is not next(reversed(self._data.columns.values())):
            raise self._wrong(f"the entries of column {name} stand apart", "put them on neighbouring lines")
        for row, value in self._pairs(parts[1:]):
            self._known_row(row)
            if row == self._objective:
                target = self._data.objective
                key = name
            elif row in self._data.rows:
                target, key = self._data.rows[row].coefficients, name
            else:
                continue  # a free row besides the objective
            if key in target:
                raise self._wrong(f"column {name} has two entries in row {row}", "add them up")
            target[key] = value

    def _pairs(self, parts: list[str]) -> Iterator[tuple[str, float]]:
        if not parts or len(parts) % 2:
            raise self._wrong(f"{' '.join(parts)!r} is not made of names and numbers", "write a name, then its number")
        for name, number in zip(parts[::2], parts[1::2], strict=True):
            yield name, self._number(number)

    def _number(self, text: str) -> float:
        try:
            value = float(text.replace("D", "E").replace("d", "e"))
        except ValueError:
            raise self._wrong(f"{text!r} is no number", "mend it") from None
        if math.isnan(value):
            raise self._wrong("NaN is no number", "mend it")
        return value

    def _known_row(self, name: str) -> None:
        if name not in self._kinds:
            raise self._wrong(f"there is no row {name}", "declare it under ROWS, or mend the name")

    def _bound(self, parts: list[str]) -> None:
        kind = parts[0].upper()
        valued = kind in ("UP", "LO", "FX", "UI", "LI")
        if kind not in ("FR", "MI", "PL", "BV") and not valued:
            raise self._wrong(
                f"a bound of type {parts[0]} is not read", "write it as UP, LO, FX, FR, MI, PL, BV, UI or LI"
            )
        names = [k for k in (1, 2) if k < len(parts) and parts[k] in self._data.columns and len(parts) > k + valued - 1]
        place = 2 if 2 in names and len(parts) > 2 + valued else (names or [0])[0]
        if not place:
            raise self._wrong(f"{' '.join(parts)!r} names no column", "declare it under COLUMNS, or mend the name")
        if valued and len(parts) <= place + 1:
            raise self._wrong(f"the bound {kind} of {parts[place]} has no value", "write it")
        self._set_bound(self._data.columns[parts[place]], kind, self._number(parts[place + 1]) if valued else 0.0)

    def _set_bound(self, column: Column, kind: str, value: float) -> None:
        value = math.copysign(math.inf, value) if abs(value) >= INFINITE else value
        if kind in ("UP", "UI") and value < 0 and column.lower == 0.0 and column.name not in self._bounded:
            raise self._wrong(
                f"the upper bound {value:g} of {column.name} lies below its lower bound 0, and readers disagree on what"
                " is meant",
                "write its lower bound (LO or MI) first",
            )
        self._bounded.add(column.name)
        column.integer = column.integer or kind in ("UI", "LI", "BV")
        if kind in ("LO", "LI", "FX"):
            column.lower = value
        if kind in ("UP", "UI", "FX"):
            column.upper = value
        if kind in ("MI", "FR"):
            column.lower = -math.inf
        if kind in ("PL", "FR"):
            column.upper = math.inf
        if kind == "BV":
            column.lower, column.upper = 0.0, 1.0

    def _finish(self) -> LinearData:
        data = self._data
        if not self._objective:
            raise self._wrong("there is no objective", "declare it under ROWS with the type N")
        if self._kinds.get(self._objective) != "N":
            raise self._wrong(f"the objective {self._objective} is no row of type N", "declare it under ROWS")
        data.constant = -self._rhs.get(self._objective, 0.0)
        for column in data.columns.values():
            if column.integer and column.name not in self._bounded:
                column.upper = 1.0
        data.objective = _without_zeros(data.objective)
        for name, row in data.rows.items():
            row.coefficients = _without_zeros(row.coefficients)
            row.lower, row.upper = _ends(self._kinds[name], self._rhs.get(name, 0.0), self._ranges.get(name))
        return data


def _without_zeros(entries: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in entries.items() if value}


def _ends(kind: str, rhs: float, span: float | None) -> tuple[float, float]:
    """The two sides of a row from its type, right-hand side and range."""
    if span is None:
        return (-math.inf if kind == "L" else rhs), (math.inf if kind == "G" else rhs)
    if kind == "E":
        return (rhs, rhs + span) if span >= 0 else (rhs + span, rhs)
    return (rhs - abs(span), rhs) if kind == "L" else (rhs, rhs + abs(span))
