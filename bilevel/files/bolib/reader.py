"""Problems of BOLIB (Zhou, Zemkoho and Tin 2020, doi 10.1007/978-3-030-52119-6_20): one MATLAB function each.

``function w = Name(x, y, keyf, keyxy)`` says in a comment how many variables and rows there are, ``[dim_x dim_y dim_G
dim_g] = [2 2 3 4]``, and gives F, G, f and g, both levels minimised and the rows at most 0, as the cases of its first
``switch``. The derivatives after it are not read. A row over one variable alone becomes its bound, as that is what it
is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyomo.environ as pyo
from pyomo.repn import generate_standard_repn

from bilevel.errors import LoadingError
from bilevel.files.bolib.matlab import Formula, Matrix, NotRead, Token, column, tokens
from bilevel.files.texts import read_text
from bilevel.language.lower_level import LowerLevel

_SIZES = re.compile(
    r"\[\s*dim_?x[ ,]+dim_?y[ ,]+dim_?G[ ,]+dim_?g\s*\]\s*=\s*"
    r"\[\s*(\d+)[ ,]+(\d+)[ ,]+(\d+)[ ,]+(\d+)\s*\]"
)
_CASE = re.compile(r"^\s*case\s*'([FGfg])'\s*[;,]?", re.MULTILINE)
_AFTER = re.compile(r"^\s*(end|else)\b", re.MULTILINE)
_SEVERAL = re.compile(r"\[([\w\s,~]*)\]\s*=\s*(\w+)\s*\(\s*\)")
_ENDS = re.compile(r"^[ \t]*(end|function)\b", re.MULTILINE)
_HOLDS = 1e-9  # a row of numbers alone


def read_bolib(path: str | Path) -> Any:
    """The Pyomo model, with a ``LowerLevel``, of a file of BOLIB.

    Raises
    ------
    LoadingError
        Naming the file, the line and the cure.
    """
    return _Reader(path).model()


class _Reader:
    def __init__(self, path: str | Path) -> None:
        self._path, self._text = path, read_text(path).replace("\r\n", "\n").replace("\r", "\n")

    def _wrong(self, place: int, what: str, cure: str) -> LoadingError:
        line = self._text.count("\n", 0, place) + 1
        return LoadingError(f"{self._path}, line {line}: {what}; {cure}")

    def model(self) -> Any:
        """Both levels."""
        sizes = _SIZES.search(self._text)
        if sizes is None:
            cure = "write the comment % [dim_x dim_y dim_G dim_g] = [..]"
            raise self._wrong(0, "it does not say how many variables there are, as BOLIB's files do", cure)
        count = [int(size) for size in sizes.groups()]
        model = pyo.ConcreteModel(name=Path(self._path).name.split(".")[0])
        model.x, model.lower = pyo.Var(range(1, count[0] + 1)), LowerLevel()
        model.lower.y = pyo.Var(range(1, count[1] + 1))
        names = {"x": _column(model.x), "y": _column(model.lower.y)}
        found = self._cases(names)
        for key, home, variables, size in (
            ("G", model, model.x, count[2]),
            ("g", model.lower, model.lower.y, count[3]),
        ):
            rows = [] if key not in found else list(found[key][1].ravel())
            if len(rows) != size:
                what = f"{size} rows of {key} are announced and {len(rows)} there"
                raise self._wrong(found[key][0] if key in found else sizes.start(), what, "mend one of the two")
            self._rows(home, key, rows, variables)
        for key, home in (("F", model), ("f", model.lower)):
            if key not in found or found[key][1].size != 1:
                raise self._wrong(sizes.start(), f"there is no {key} of one value", f"write case '{key}'; w = ..")
            home.objective = pyo.Objective(expr=found[key][1][0, 0] + 0.0)
        return model

    def _cases(self, names: dict[str, Matrix]) -> dict[str, tuple[int, Matrix]]:
        """F, G, f and g, and where each stands."""
        text = _without_comments(self._text)
        first = text.find("nargin")
        begin = text.find("\n", text.find("function")) + 1
        if first > begin:
            top = text.rfind("\n", 0, first)
            self._statements(text[begin:top], begin, names)
        found: dict[str, tuple[int, Matrix]] = {}
        cases = list(_CASE.finditer(text))
        for case in cases:
            if case[1] in found:
                break  # the derivatives begin
            ends = [other.start() for other in cases if other.start() > case.start()]
            ends += [end.start() for end in _AFTER.finditer(text, case.end())]
            known = dict(names)
            self._statements(text[case.end() : min(ends, default=len(text))], case.end(), known)
            if "w" not in known:
                raise self._wrong(case.start(), f"case {case[1]!r} gives no w", "write w = ..")
            found[case[1]] = case.start(), known["w"]
        return found

    def _statements(self, text: str, begin: int, names: dict[str, Matrix]) -> None:
        """Assignments, one after the other."""
        for start, statement in _split(text):
            try:
                words = [word for word in tokens(statement) if word.kind != "line" or _nested(statement)]
                words = _trimmed(words)
                if not words:
                    continue
                several = _SEVERAL.fullmatch(statement.strip())
                if several is not None:
                    self._local(several[2], several[1], names)
                    continue
                if len(words) < 3 or words[0].kind != "name" or words[1].text != "=":
                    raise NotRead(f"{' '.join(statement.split())!r}")
                names[words[0].text] = Formula(words[2:], names).value()
            except NotRead as refusal:
                place = begin + start + len(statement) - len(statement.lstrip())
                cure = "write it as a formula of x and y, with numbers in place"
                raise self._wrong(place, f"not read: {refusal}", cure) from refusal

    def _local(self, name: str, wanted: str, names: dict[str, Matrix]) -> None:
        """``[A, ~, b] = data()``: what a function of the same file, without arguments, gives."""
        header = re.search(rf"^[ \t]*function\s*\[([^\]]*)\]\s*=\s*{name}\s*\(\s*\)", self._text, re.MULTILINE)
        if header is None:
            raise NotRead(f"function {name}() of this file")
        end = _ENDS.search(self._text, header.end())
        own: dict[str, Matrix] = {}
        body = self._text[header.end() : end.start() if end else len(self._text)]
        self._statements(_without_comments(body), header.end(), own)
        for mine, theirs in zip(re.findall(r"[\w~]+", wanted), re.findall(r"\w+", header[1]), strict=False):
            if mine != "~":
                if theirs not in own:
                    raise NotRead(f"value of {theirs} in {name}()")
                names[mine] = own[theirs]

    def _rows(self, home: Any, key: str, rows: list[Any], variables: Any) -> None:
        """Rows ``<= 0``; those over one variable of the level's own become its bounds."""
        own = {id(var) for var in variables.values()}
        block = pyo.ConstraintList()
        home.add_component(key, block)
        for k, row in enumerate(rows, 1):
            if isinstance(row, (int, float)):
                if row > _HOLDS:
                    raise LoadingError(f"{self._path}: row {k} of {key} is {row:g} <= 0; mend it")
                continue
            form = generate_standard_repn(row, quadratic=False)
            if form.is_linear() and len(form.linear_vars) == 1 and id(form.linear_vars[0]) in own:
                _bound(form.linear_vars[0], -form.constant / form.linear_coefs[0], form.linear_coefs[0] > 0)
            else:
                block.add(row <= 0.0)


def _without_comments(text: str) -> str:
    """The same with blanks in place of comments."""
    return re.sub(r"%[^\n]*", lambda comment: " " * len(comment[0]), text)


def _bound(var: Any, end: float, above: bool) -> None:
    if above:
        var.setub(end if var.ub is None else min(var.ub, end))
    else:
        var.setlb(end if var.lb is None else max(var.lb, end))


def _column(variables: Any) -> Matrix:
    return column(list(variables.values()))


def _nested(statement: str) -> bool:
    return "[" in statement


def _trimmed(words: list[Token]) -> list[Token]:
    """Without line ends at either end."""
    while words and words[0].kind == "line":
        words = words[1:]
    while words and words[-1].kind == "line":
        words = words[:-1]
    return words


def _split(text: str) -> list[tuple[int, str]]:
    """Statements and where they begin: ended by a semicolon or a line's end outside of brackets."""
    found, depth, begin = [], 0, 0
    for k, sign in enumerate(text):
        depth += (sign in "([") - (sign in ")]")
        if depth == 0 and (sign == ";" or (sign == "\n" and not text[begin:k].rstrip().endswith("..."))):
            found.append((begin, text[begin:k]))
            begin = k + 1
    return [*found, (begin, text[begin:])]
