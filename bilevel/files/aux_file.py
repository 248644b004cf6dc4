"""AUX files: which columns and rows of an MPS file are the follower's, and its objective (DeNegre and Ralphs; MibS).

Two forms exist, and files that mix them. By index, lines ``N 2``, ``M 1``, ``LC 3`` (a column, counted from 0, or its
name), ``LR 0`` (a row, the objective not counted), ``LO -1.0`` (an objective coefficient, in the order of LC) and ``OS
1`` (1 minimises, -1 maximises). By name, sections ``@NUMVARS``, ``@NUMCONSTRS``, ``@VARSBEGIN`` with ``name
coefficient`` lines, ``@CONSTRSBEGIN``, ``@NAME``, ``@MPS``, ``@LP``; it minimises, unless an ``@OBJSENSE`` says
otherwise. Lines ``IC`` and ``IB`` make it the short form of an interdiction problem
(:mod:`bilevel.files.interdiction_form`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bilevel.errors import LoadingError
from bilevel.files.interdiction_form import Blocking
from bilevel.files.texts import plain_stem, plain_suffix, read_text, write_text

_NUMBERS = ("N", "M", "LC", "LR", "LO", "OS", "IC", "IB")
_COUNTS = {"@NUMVARS": "variables", "@NUMCONSTRS": "rows", "@NUMCONSTR": "rows"}
_COLUMNS = "@VARSEND"
_LISTS = {
    "@VARSBEGIN": _COLUMNS,
    "@CONSTRSBEGIN": "@CONSTRSEND",
    "@CONSTRBEGIN": "@CONSTREND",
    "@CONSTSBEGIN": "@CONSTSEND",
}
_SINGLE = ("@NAME", "@MPS", "@LP", "@OBJSENSE")


@dataclass
class LowerData:
    """The follower's share of a linear program.

    Attributes
    ----------
    objective : dict of float
        Coefficient of each of its columns, by name.
    rows : list of str
        Names of its rows.
    maximize : bool
        Its sense.
    """

    objective: dict[str, float] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)
    maximize: bool = False


@dataclass(frozen=True)
class _Entry:
    line: int
    text: str
    by_name: bool  # else a number from 0, or a name where there is such a name


class AuxFile:
    """What an AUX file says, its columns and rows not looked up yet.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    LoadingError
        Naming the file, the line and the cure.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._counts: dict[str, int] = {}
        self._columns: list[_Entry] = []
        self._rows: list[_Entry] = []
        self._slopes: list[float] = []
        self._prices: list[float] = []
        self._budget: float | None = None
        self._maximize = self._announced = False
        self._last = 0
        self.instance = ""
        cure = "an MPS file needs an AUX file of its name beside it, which says what is the follower's"
        lines = enumerate(read_text(path, cure).splitlines(), 1)
        self._read([(k, line.split()) for k, line in lines if line.strip() and line[0] not in "*#"])

    def _wrong(self, line: int, what: str, cure: str) -> LoadingError:
        return LoadingError(f"{self._path}, line {line}: {what}; {cure}")

    def _number(self, line: int, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise self._wrong(line, f"{text!r} is no number", "mend it") from None

    def _read(self, lines: Sequence[tuple[int, list[str]]]) -> None:
        waiting = end = ""
        for self._last, words in lines:
            key = words[0].upper()
            if key in _LISTS and self._over(end):
                end, waiting = _LISTS[key], ""
            elif key.startswith("@"):
                waiting, end = self._keyword(words[0], end)
            elif waiting:
                self._said(words, waiting)
                waiting = ""
            elif end and not self._over(end):
                self._listed(words, end)
            else:
                self._indexed(words, key)
        if not self._over(end):
            raise self._wrong(self._last, f"{end} is missing", "add it")

    def _over(self, end: str) -> bool:
        """Whether no section is open: one without an end, in older files, is over after as many entries as N, M say."""
        if not end:
            return True
        kind, found = ("variables", self._columns) if end == _COLUMNS else ("rows", self._rows)
        return not self._announced and self._counts.get(kind) == len(found)

    def _keyword(self, word: str, end: str) -> tuple[str, str]:
        """What a word with @ begins or ends: the entry that follows it, the section that is open."""
        key = word.upper()
        if end and key == end:
            return "", ""
        if (key in _COUNTS or key in _SINGLE) and self._over(end):
            return key, ""
        known = ", ".join([*_COUNTS, *_LISTS, *_SINGLE])
        raise self._wrong(self._last, f"{word} is not read here", f"write {end}" if end else f"write one of {known}")

    def _said(self, words: list[str], key: str) -> None:
        if key in _COUNTS:
            self._counts[_COUNTS[key]], self._announced = int(self._number(self._last, words[0])), True
        elif key == "@OBJSENSE":
            self._maximize = words[0].upper().startswith("MAX")
        elif key != "@NAME":
            self.instance = " ".join(words)

    def _listed(self, words: list[str], end: str) -> None:
        entry = _Entry(self._last, words[0], by_name=True)
        if end == _COLUMNS:
            self._columns.append(entry)
            self._slopes.append(self._number(self._last, words[1]) if len(words) > 1 else 0.0)
        else:
            self._rows.append(entry)

    def _indexed(self, words: list[str], key: str) -> None:
        if key not in _NUMBERS or len(words) < 2:
            cure = f"a line is one of {', '.join(_NUMBERS)} and a number, or stands between @VARSBEGIN and @VARSEND"
            raise self._wrong(self._last, f"{' '.join(words)!r} is not read", cure)
        if key in ("LC", "LR"):
            (self._columns if key == "LC" else self._rows).append(_Entry(self._last, words[1], by_name=False))
            return
        value = self._number(self._last, words[1])
        if key in ("LO", "IC"):
            (self._slopes if key == "LO" else self._prices).append(value)
        elif key == "IB":
            self._budget = value
        elif key != "OS":
            self._counts["variables" if key == "N" else "rows"] = int(value)
        elif value not in (1.0, -1.0):
            raise self._wrong(
                self._last, f"the sense {words[1]} is not read", "write OS 1 to minimise, OS -1 to maximise"
            )
        else:
            self._maximize = value < 0

    def blocking(self, columns: int) -> Blocking | None:
        """What blocking each column of the MPS file costs, in the short form of an interdiction problem.

        Raises
        ------
        LoadingError
            If there is not one price for each column, or no budget.
        """
        if not self._prices and self._budget is None:
            return None
        if self._budget is None:
            raise self._wrong(self._last, "there are IC lines and no budget", "write IB and the budget")
        if len(self._prices) != columns:
            what = f"there are {len(self._prices)} IC lines, and {columns} columns in the MPS file"
            raise self._wrong(self._last, what, "write one IC for each column")
        return Blocking(tuple(self._prices), self._budget)

    def lower(self, columns: Sequence[str], rows: Sequence[str]) -> LowerData:
        """The follower's share.

        Parameters
        ----------
        columns, rows : sequence of str
            Names in the MPS file, in its order, the objective not among the rows.

        Raises
        ------
        LoadingError
            If what is listed is not there, is listed twice, or is not as many as announced.
        """
        if len(self._slopes) != len(self._columns):
            what = f"there are {len(self._columns)} LC and {len(self._slopes)} LO lines"
            raise self._wrong(self._last, what, "write one LO for each LC")
        below = [self._name(entry, columns, "column") for entry in self._columns]
        theirs = [self._name(entry, rows, "row") for entry in self._rows]
        for kind, found in (("variables", below), ("rows", theirs)):
            if len(set(found)) != len(found):
                twice = next(name for k, name in enumerate(found) if name in found[:k])
                raise self._wrong(self._last, f"{twice} is listed twice", "list it once")
            if self._counts.get(kind, len(found)) != len(found):
                what = f"{self._counts[kind]} lower {kind} are announced and {len(found)} listed"
                raise self._wrong(self._last, what, "mend one of the two")
        if not below:
            raise self._wrong(self._last, "the follower has no variable", "list its columns")
        return LowerData(dict(zip(below, self._slopes, strict=True)), theirs, self._maximize)

    def _name(self, entry: _Entry, names: Sequence[str], kind: str) -> str:
        if entry.text in names and (entry.by_name or not entry.text.isdigit()):
            return entry.text
        if entry.by_name:
            raise self._wrong(entry.line, f"the MPS file has no {kind} {entry.text}", "mend the name")
        value = self._number(entry.line, entry.text)
        if value != int(value) or not 0 <= value < len(names):
            raise self._wrong(
                entry.line,
                f"there is no {kind} number {entry.text}",
                f"they are counted from 0 to {len(names) - 1} in the MPS file",
            )
        return names[int(value)]


def write_aux(
    data: LowerData,
    path: str | Path,
    columns: Sequence[str],
    rows: Sequence[str],
    form: str,
    instance: str,
    blocking: Blocking | None = None,
) -> None:
    """Write an AUX file.

    Parameters
    ----------
    data : LowerData
        What is the follower's.
    path : str or Path
        The file.
    columns, rows : sequence of str
        Names in the MPS file, in its order.
    form : {"name", "index"}
        Which of the two; the one by name minimises, so that a maximised objective is negated there.
    instance : str
        Name of the MPS or LP file.
    blocking : Blocking, optional
        Prices and budget of the short form of an interdiction problem, which goes by index.
    """
    if form == "index":
        at = {name: k for k, name in enumerate(columns)}
        row_at = {name: k for k, name in enumerate(rows)}
        lines = [f"N {len(data.objective)}", f"M {len(data.rows)}"]
        lines += [f"LC {at[name]}" for name in data.objective]
        lines += [f"LR {row_at[name]}" for name in data.rows]
        lines += [f"LO {slope!r}" for slope in data.objective.values()]
        lines.append(f"OS {-1 if data.maximize else 1}")
        if blocking is not None:
            lines += [*(f"IC {price!r}" for price in blocking.prices), f"IB {blocking.budget!r}"]
    else:
        sign, kind = -1.0 if data.maximize else 1.0, "@LP" if plain_suffix(Path(instance)) == ".lp" else "@MPS"
        lines = ["@NUMVARS", str(len(data.objective)), "@NUMCONSTRS", str(len(data.rows)), "@VARSBEGIN"]
        lines += [f"{name} {sign * slope!r}" for name, slope in data.objective.items()]
        lines += ["@VARSEND", "@CONSTRSBEGIN", *data.rows, "@CONSTRSEND"]
        lines += ["@NAME", plain_stem(Path(instance)), kind, instance]
    write_text(path, "\n".join(lines) + "\n")
