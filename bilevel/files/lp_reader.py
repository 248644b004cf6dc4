"""LP files (CPLEX's form), read strictly: a linear objective, linear rows, bounds, integers.

What CPLEX, SCIP, HiGHS and Gurobi agree on: sections in any case, rows with or without names and over several lines,
numbers before names, ``infinity``, ranges ``-3 <= x + y <= 8``, comments after a backslash. An unnamed row is ``Rk`` by
its number. Quadratic terms, special ordered sets, indicators and semicontinuous variables are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bilevel.errors import LoadingError
from bilevel.files.mps import Column, LinearData, Row
from bilevel.files.texts import read_text

_SECTIONS = {
    "objective": r"(max|min)(imi[sz]e|imum)?",
    "rows": r"subject\s+to|such\s+that|s\.?t\.?|st",
    "bounds": r"bounds?",
    "integers": r"gen(eral)?s?|int(egers?)?",
    "binaries": r"bin(ary|aries)?",
    "end": r"end",
    "other": r"semi-continuous|semis?|sos[12]?|lazy constraints|user cuts|general constraints|pwlobj",
}
_TOKEN = re.compile(
    r"(?P<sense><=|=<|>=|=>|<|>|=)|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<sign>[+-])|(?P<colon>:)|(?P<name>[A-Za-z_!\"#$%&(),;?@`'{}~|][^\s<>=+\-*^:/]*)|(?P<bad>\S)"
)
_INFINITE = 1e20


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


def read_lp(path: str | Path) -> LinearData:
    """Read an LP file.

    Raises
    ------
    LoadingError
        Naming the file, the line and the cure.
    """
    return _Reader(path).read(read_text(path).splitlines())


class _Reader:
    def __init__(self, path: str | Path) -> None:
        self._path, self._data = path, LinearData(Path(path).name.split(".")[0])
        self._bounded: set[str] = set()

    def _wrong(self, line: int, what: str, cure: str) -> LoadingError:
        return LoadingError(f"{self._path}, line {line}: {what}; {cure}")

    def read(self, lines: list[str]) -> LinearData:
        """All sections up to ``End``."""
        found: list[tuple[str, list[_Token]]] = []
        last = 0
        for last, raw in enumerate(lines, 1):
            line = raw.partition("\\")[0].strip()
            section = next((n for n, form in _SECTIONS.items() if re.fullmatch(form, line, re.IGNORECASE)), "")
            if section == "end":
                break
            if section == "other":
                raise self._wrong(last, f"section {line} is not read", "write the model with linear rows alone")
            if section:
                found.append((section, []))
                self._data.maximize = line.lower().startswith("max") if section == "objective" else self._data.maximize
            elif line and not found:
                raise self._wrong(last, f"{line!r} stands in no section", "begin with Minimize or Maximize")
            elif line:
                found[-1][1].extend(self._tokens(line, last))
        else:
            raise self._wrong(last, "the file ends without End", "add it, or get the whole file")
        if not found or found[0][0] != "objective":
            raise self._wrong(last, "there is no objective", "begin with Minimize or Maximize")
        for section, tokens in found:
            getattr(self, f"_{section}")(tokens)
        return self._data

    def _tokens(self, line: str, number: int) -> Iterator[_Token]:
        for match in _TOKEN.finditer(line):
            kind = match.lastgroup or ""
            if kind == "bad":
                cure = "this reader takes linear terms alone: number name"
                raise self._wrong(number, f"{match[0]!r} is not read", cure)
            if kind == "name" and re.fullmatch(r"inf(inity)?", match[0], re.IGNORECASE):
                yield _Token("number", "inf", number)
            else:
                yield _Token(kind, match[0], number)

    def _objective(self, tokens: list[_Token]) -> None:
        tokens = tokens[2:] if len(tokens) > 1 and tokens[1].kind == "colon" else tokens
        entries, constant, rest = self._sum(tokens)
        if rest:
            raise self._wrong(rest[0].line, f"{rest[0].text!r} in the objective", "write a sum of number name")
        self._data.objective, self._data.constant = {k: v for k, v in entries.items() if v}, constant

    def _rows(self, tokens: list[_Token]) -> None:
        while tokens:
            name = f"R{len(self._data.rows) + 1}"
            line = tokens[0].line
            if len(tokens) > 1 and tokens[1].kind == "colon":
                name, tokens = tokens[0].text, tokens[2:]
            if name in self._data.rows:
                raise self._wrong(line, f"row {name} is there twice", "give each row a name of its own")
            tokens = self._row(name, tokens, line)

    def _row(self, name: str, tokens: list[_Token], line: int) -> list[_Token]:
        """One row off the front; what is left."""
        entries, left, tokens = self._sum(tokens)
        low, high = -math.inf, math.inf
        if not entries:  # a number first: low <= sum [<= high], or high >= sum
            sense, tokens = self._sense(tokens, line, name)
            entries, shift, tokens = self._sum(tokens)
            low, high = _side(low, high, _turned(sense), left - shift)
            if not (tokens and tokens[0].kind == "sense"):
                return self._put(name, entries, low, high, tokens)
            left = shift
        sense, tokens = self._sense(tokens, line, name)
        value, tokens = self._right_side(tokens, line, name)
        low, high = _side(low, high, sense, value - left)
        return self._put(name, entries, low, high, tokens)

    def _put(self, name: str, entries: dict[str, float], low: float, high: float, tokens: list[_Token]) -> list[_Token]:
        self._data.rows[name] = Row(name, low, high, {k: v for k, v in entries.items() if v})
        return tokens

    def _right_side(self, tokens: list[_Token], line: int, name: str) -> tuple[float, list[_Token]]:
        """The number right of a sense, and what is left."""
        k = next((k for k, token in enumerate(tokens) if token.kind != "sign"), len(tokens))
        if k == len(tokens) or tokens[k].kind != "number":
            raise self._wrong(line, f"row {name} has no number on its right", "write sum <= number")
        after = tokens[k + 1 :]
        if after and after[0].line == tokens[k].line and after[0].kind == "name" and not _starts(after):
            raise self._wrong(tokens[k].line, f"{after[0].text} stands on the right of row {name}", "bring it left")
        return self._number(line, tokens[: k + 1]), after

    def _sense(self, tokens: list[_Token], line: int, name: str) -> tuple[str, list[_Token]]:
        if not tokens or tokens[0].kind != "sense":
            what = tokens[0].text if tokens else "the end"
            where = tokens[0].line if tokens else line
            raise self._wrong(where, f"{what!r} where row {name} needs <=, >= or =", "mend the row")
        text = tokens[0].text
        return "=" if text == "=" else "<" if "<" in text else ">", tokens[1:]

    def _sum(self, tokens: list[_Token]) -> tuple[dict[str, float], float, list[_Token]]:
        """Coefficients and constant off the front, up to a sense or the next row's name."""
        entries: dict[str, float] = {}
        constant, k = 0.0, 0
        while k < len(tokens) and tokens[k].kind in ("sign", "number", "name"):
            if (k and tokens[k].kind != "sign") or (k + 1 < len(tokens) and tokens[k + 1].kind == "colon"):
                break  # the next row begins
            sign, first = 1.0, tokens[k]
            while k < len(tokens) and tokens[k].kind == "sign":
                sign, k = sign * (-1.0 if tokens[k].text == "-" else 1.0), k + 1
            number = 1.0
            counted = k < len(tokens) and tokens[k].kind == "number"
            if counted:
                number, k = float(tokens[k].text), k + 1
            if k < len(tokens) and tokens[k].kind == "name" and not _starts(tokens[k:]):
                name = tokens[k].text
                self._data.columns.setdefault(name, Column(name))
                entries[name], k = entries.get(name, 0.0) + sign * number, k + 1
            elif counted:
                constant += sign * number
            else:
                raise self._wrong(first.line, f"a sign without a term after {first.text!r}", "mend the sum")
        return entries, constant, tokens[k:]

    def _bounds(self, tokens: list[_Token]) -> None:
        by_line: dict[int, list[_Token]] = {}
        for token in tokens:
            by_line.setdefault(token.line, []).append(token)
        for line, words in by_line.items():
            self._bound(line, words)

    def _bound(self, line: int, words: list[_Token]) -> None:
        if len(words) == 2 and words[1].text.lower() == "free":
            self._limit(self._column(words[0]), ">", -math.inf)
            return
        parts: list[list[_Token]] = [[]]
        senses: list[str] = []
        for word in words:
            if word.kind == "sense":
                senses.append(self._sense([word], line, "")[0])
                parts.append([])
            else:
                parts[-1].append(word)
        names = [k for k, part in enumerate(parts) if len(part) == 1 and part[0].kind == "name"]
        if len(names) != 1 or not senses or len(senses) > 2 or (len(senses) == 2 and names != [1]):
            text = " ".join(word.text for word in words)
            raise self._wrong(line, f"{text!r} is no bound", "write low <= name <= high, or name free")
        column = self._column(parts[names[0]][0])
        for k, sense in enumerate(senses):
            before = k < names[0]
            value = self._number(line, parts[k] if before else parts[k + 1])
            self._limit(column, _turned(sense) if before else sense, value)

    def _number(self, line: int, words: list[_Token]) -> float:
        sign = -1.0 if sum(word.text == "-" for word in words) % 2 else 1.0
        numbers = [word for word in words if word.kind == "number"]
        if len(numbers) != 1 or any(word.kind not in ("sign", "number") for word in words):
            raise self._wrong(line, f"{' '.join(word.text for word in words)!r} is no number", "mend it")
        return sign * float(numbers[0].text)

    def _limit(self, column: Column, sense: str, value: float) -> None:
        value = math.copysign(math.inf, value) if abs(value) >= _INFINITE else value
        self._bounded.add(column.name)
        if sense in "<=":
            column.upper = value
        if sense in ">=":
            column.lower = value

    def _column(self, token: _Token) -> Column:
        if token.kind != "name" or token.text not in self._data.columns:
            raise self._wrong(token.line, f"no row and no objective has {token.text}", "mend the name")
        return self._data.columns[token.text]

    def _integers(self, tokens: list[_Token]) -> None:
        for token in tokens:
            self._column(token).integer = True

    def _binaries(self, tokens: list[_Token]) -> None:
        for token in tokens:
            column = self._column(token)
            column.integer, column.lower, column.upper = True, 0.0, 1.0


def _starts(tokens: list[_Token]) -> bool:
    """Whether the next row begins here: a name and a colon."""
    return len(tokens) > 1 and tokens[0].kind == "name" and tokens[1].kind == "colon"


def _turned(sense: str) -> str:
    return {"<": ">", ">": "<", "=": "="}[sense]


def _side(low: float, high: float, sense: str, value: float) -> tuple[float, float]:
    return (value if sense in ">=" else low), (value if sense in "<=" else high)
