"""The part of MATLAB in which formulas are written, evaluated over matrices of numbers and Pyomo expressions.

Numbers, names, indices from 1, ranges, matrices in brackets, transposes, the operators with and without a dot, and a
few functions. Everything is a matrix, as there; a scalar stretches. What is not among this is refused by its name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyomo.environ as pyo

Matrix = np.ndarray[Any, np.dtype[np.object_]]

_TOKEN = re.compile(
    r"(?P<space>[ \t]+|\.\.\.[^\n]*\n)|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\.?[\w(]))"
    r"|(?P<name>[A-Za-z]\w*)|(?P<operator>\.\^|\.\*|\./|\.'|[-+*/^'()\[\],;:=~])|(?P<line>\n)|(?P<bad>.)"
)


class NotRead(Exception):
    """Something that is not among what is read; the text says what."""


class Token(NamedTuple):
    """A word, its kind, and whether blanks stand before it."""

    kind: str
    text: str
    apart: bool


def tokens(text: str) -> list[Token]:
    """The words of a text without comments."""
    found, apart = [], False
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind == "bad":
            raise NotRead(f"{match[0]!r}")
        if kind != "space":
            found.append(Token(kind, match[0], apart))
        apart = kind == "space"
    return found


def scalar(value: float) -> Matrix:
    """A number as a matrix."""
    return _matrix([[value]])


def column(values: list[Any]) -> Matrix:
    """A matrix of one column."""
    return _matrix([[value] for value in values])


def _matrix(rows: list[list[Any]]) -> Matrix:
    made: Matrix = np.empty((len(rows), len(rows[0]) if rows else 0), dtype=object)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            made[i, j] = value
    return made


def _each(function: Callable[[Any], Any]) -> Callable[[Matrix], Matrix]:
    return lambda a: _matrix([[function(v) for v in row] for row in a])


def _sum(a: Matrix) -> Matrix:
    a = a.T if a.shape[0] == 1 else a
    return _matrix([[sum(side[1:], side[0]) if len(side) else 0.0 for side in a.T]])


def _prod(a: Matrix) -> Matrix:
    a = a.T if a.shape[0] == 1 else a
    return _matrix([[math.prod(side[1:], start=side[0]) if len(side) else 1.0 for side in a.T]])


def _diag(a: Matrix) -> Matrix:
    if 1 not in a.shape:
        return _matrix([[a[k, k]] for k in range(min(a.shape))])
    values = a.ravel()
    return _matrix([[value if i == j else 0.0 for j in range(len(values))] for i, value in enumerate(values)])


def _filled(value: float) -> Callable[..., Matrix]:
    def fill(*sizes: Matrix) -> Matrix:
        counts = [int(size[0, 0]) for size in sizes] or [1]
        return _matrix([[value] * counts[-1] for _ in range(counts[0])])

    return fill


def _eye(size: Matrix) -> Matrix:
    n = int(size[0, 0])
    return _matrix([[float(i == j) for j in range(n)] for i in range(n)])


FUNCTIONS: dict[str, Callable[..., Matrix]] = {
    **{name: _each(getattr(pyo, name)) for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "atan")},
    "abs": _each(abs),
    "sum": _sum,
    "prod": _prod,
    "diag": _diag,
    "eye": _eye,
    "zeros": _filled(0.0),
    "ones": _filled(1.0),
    "length": lambda a: scalar(float(max(a.shape))),
    "numel": lambda a: scalar(float(a.size)),
    "norm": lambda a: _each(pyo.sqrt)(_sum(_matrix([[v**2] for v in a.ravel()]))),
}


def _binary(sign: str, a: Matrix, b: Matrix) -> Matrix:
    if sign in ("*", "/", "^") and (a.size == 1 and b.size == 1):
        sign = "." + sign
    if sign == "*" and 1 not in (a.size, b.size):
        if a.shape[1] != b.shape[0]:
            raise NotRead(f"a product of {a.shape[0]} x {a.shape[1]} and {b.shape[0]} x {b.shape[1]}")
        return _matrix([[_dot(row, side) for side in b.T] for row in a])
    if (sign == "/" and b.size > 1) or sign == "^":
        raise NotRead(f"{sign!r} between matrices")
    if 1 not in (a.size, b.size) and a.shape != b.shape:
        raise NotRead(f"{sign!r} between {a.shape[0]} x {a.shape[1]} and {b.shape[0]} x {b.shape[1]}")
    a, b = (np.broadcast_to(one, (other if one.size == 1 else one).shape) for one, other in ((a, b), (b, a)))
    do = {"+": _plus, "-": _minus, "*": _times, "/": _over, "^": _power}[sign.removeprefix(".")]
    return _matrix([[do(*pair) for pair in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)])


def _plus(a: Any, b: Any) -> Any:
    return a + b


def _minus(a: Any, b: Any) -> Any:
    return a - b


def _times(a: Any, b: Any) -> Any:
    return a * b


def _over(a: Any, b: Any) -> Any:
    return a / b


def _power(a: Any, b: Any) -> Any:
    whole = isinstance(b, float) and b.is_integer()
    return a ** (int(b) if whole else b)


def _dot(row: Any, side: Any) -> Any:
    terms = [a * b for a, b in zip(row, side, strict=True) if not (isinstance(a, float) and a == 0.0)]
    return sum(terms[1:], terms[0]) if terms else 0.0


class Formula:
    """One statement's right-hand side, evaluated as it is read (precedence as in MATLAB).

    Parameters
    ----------
    words : list of Token
        The statement, without its semicolon.
    names : dict
        Matrices by name.
    """

    def __init__(self, words: list[Token], names: dict[str, Matrix]) -> None:
        self._words, self._names, self._at, self._brackets = words, names, 0, [False]

    def value(self) -> Matrix:
        """Of the whole."""
        found = self._sum()
        if self._at < len(self._words):
            raise NotRead(f"{self._words[self._at].text!r} after a formula")
        return found

    def _peek(self, *texts: str) -> bool:
        return self._at < len(self._words) and self._words[self._at].text in texts

    def _take(self, text: str = "") -> Token:
        if self._at >= len(self._words) or (text and self._words[self._at].text != text):
            raise NotRead(f"no {text or 'term'!r} where one has to be")
        self._at += 1
        return self._words[self._at - 1]

    def _next_element(self) -> bool:
        """Within brackets ``a -b`` are two elements, ``a - b`` and ``a-b`` are one."""
        after = self._words[self._at + 1] if self._at + 1 < len(self._words) else None
        return self._brackets[-1] and self._words[self._at].apart and after is not None and not after.apart

    def _sum(self) -> Matrix:
        found = self._product()
        while self._peek("+", "-") and not self._next_element():
            found = _binary(self._take().text, found, self._product())
        return found

    def _product(self) -> Matrix:
        found = self._signed()
        while self._peek("*", "/", ".*", "./"):
            found = _binary(self._take().text, found, self._signed())
        return found

    def _signed(self) -> Matrix:
        if self._peek("-", "+"):
            sign = self._take().text
            operand = self._signed()
            return _each(lambda v: -v)(operand) if sign == "-" else operand
        return self._raised()

    def _raised(self) -> Matrix:
        found = self._transposed()
        while self._peek("^", ".^"):
            sign, least = self._take().text, self._peek("-", "+")
            power = self._signed() if least else self._transposed()
            found = _binary(sign, found, power)
        return found

    def _transposed(self) -> Matrix:
        found = self._atom()
        while self._peek("'", ".'"):
            self._take()
            found = found.T
        return found

    def _atom(self) -> Matrix:
        word = self._take()
        if word.kind == "number":
            return scalar(float(word.text))
        if word.text == "(":
            return self._within(")", self._sum)
        if word.text == "[":
            return self._rows()
        if word.kind != "name":
            raise NotRead(f"{word.text!r} where a term has to be")
        called = self._peek("(") and not (self._brackets[-1] and self._words[self._at].apart)
        if word.text in self._names:
            return self._part(self._names[word.text]) if called else self._names[word.text]
        if word.text == "pi":
            return scalar(float(np.pi))
        if word.text in FUNCTIONS and called:
            return FUNCTIONS[word.text](*self._arguments())
        raise NotRead(f"{word.text!r}, which is none of {', '.join(sorted(FUNCTIONS))}")

    def _within(self, end: str, read: Callable[[], Matrix]) -> Matrix:
        self._brackets.append(False)
        found = read()
        self._take(end)
        self._brackets.pop()
        return found

    def _arguments(self) -> list[Matrix]:
        self._take("(")
        self._brackets.append(False)
        found = [] if self._peek(")") else [self._argument()]
        while self._peek(","):
            self._take()
            found.append(self._argument())
        self._take(")")
        self._brackets.pop()
        return found

    def _argument(self) -> Matrix:
        if self._peek(":"):
            self._take()
            return _matrix([[":"]])
        first = self._sum()
        if not self._peek(":"):
            return first
        self._take()
        return _matrix([[float(k) for k in range(int(first[0, 0]), int(self._sum()[0, 0]) + 1)]])

    def _part(self, whole: Matrix) -> Matrix:
        places = [a.ravel() for a in self._arguments()]
        if len(places) == 1:
            kept = [v for side in whole.T for v in side]
            chosen = range(len(kept)) if places[0][0] == ":" else [self._place(k, len(kept)) for k in places[0]]
            values = [kept[k] for k in chosen]
            return _matrix([values]) if whole.shape[0] == 1 and whole.shape[1] > 1 else column(values)
        sides = [
            list(range(size)) if place[0] == ":" else [self._place(k, size) for k in place]
            for place, size in zip(places, whole.shape, strict=True)
        ]
        return _matrix([[whole[i, j] for j in sides[1]] for i in sides[0]])

    @staticmethod
    def _place(k: Any, size: int) -> int:
        if not (isinstance(k, float) and k.is_integer() and 1 <= k <= size):
            raise NotRead(f"the index {k} among {size}")
        return int(k) - 1

    def _rows(self) -> Matrix:
        self._brackets.append(True)
        rows: list[list[Matrix]] = [[]]
        while not self._peek("]"):
            if self._peek(";", "\n"):
                self._take()
                rows.append([])
            elif self._peek(","):
                self._take()
            else:
                rows[-1].append(self._sum())
        self._take("]")
        self._brackets.pop()
        parts = [[part for part in row if part.size] for row in rows]
        stacked = [np.hstack(row) for row in parts if row]
        if len({part.shape[1] for part in stacked}) > 1:
            raise NotRead("rows of different lengths in brackets")
        return np.vstack(stacked) if stacked else _matrix([])
