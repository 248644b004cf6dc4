"""AUX files: which columns and rows of an MPS file are the follower's, and its objective (DeNegre and Ralphs; MibS).

Two forms exist. By index, lines ``N 2``, ``M 1``, ``LC 3`` (a column, counted from 0), ``LR 0`` (a row, the objective
not counted), ``LO -1.0`` (an objective coefficient, in the order of LC) and ``OS 1`` (1 minimises, -1 maximises). By
name, sections ``@NUMVARS``, ``@NUMCONSTRS``, ``@VARSBEGIN`` with ``name coefficient`` lines, ``@CONSTRSBEGIN``,
``@NAME``, ``@MPS``, ``@LP``; it minimises, unless an ``@OBJSENSE`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bilevel.errors import LoadingError

_NUMBERS = ("N", "M", "LC", "LR", "LO", "OS")
_COUNTS = {"@NUMVARS": "variables", "@NUMCONSTRS": "rows", "@NUMCONSTR": "rows"}
_LISTS = {"@VARSBEGIN": "@VARSEND", "@CONSTRSBEGIN": "@CONSTRSEND", "@CONSTRBEGIN": "@CONSTREND"}
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


def read_aux(path: str | Path, columns: Sequence[str], rows: Sequence[str]) -> LowerData:
    """Read an AUX file of either form.

    Parameters
    ----------
    path : str or Path
        The file.
    columns, rows : sequence of str
        Names in the MPS file, in its order, the objective not among the rows.

    Raises
    ------
    LoadingError
        Naming the file, the line and the cure.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise LoadingError(
            f"{path} cannot be read: {error.strerror}; an MPS file needs an AUX file of its name beside it, which says"
            " what is the follower's"
        ) from error
    lines = [(k, line.split()) for k, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] not in "*#"]
    by_name = any(words[0].startswith("@") for _, words in lines)
    reader = _Reader(path, columns, rows)
    return reader.by_name(lines) if by_name else reader.by_index(lines)


class _Reader:
    def __init__(self, path: str | Path, columns: Sequence[str], rows: Sequence[str]) -> None:
        self._path, self._columns, self._rows = path, columns, rows
        self._data = LowerData()
        self._counts: dict[str, int] = {}

    def _wrong(self, line: int, what: str, cure: str) -> LoadingError:
        return LoadingError(f"{self._path}, line {line}: {what}; {cure}")

    def _number(self, line: int, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise self._wrong(line, f"{text!r} is no number", "mend it") from None

    def _index(self, line: int, text: str, names: Sequence[str], kind: str) -> str:
        value = self._number(line, text)
        if value != int(value) or not 0 <= value < len(names):
            raise self._wrong(
                line,
                f"there is no {kind} number {text}",
                f"they are counted from 0 to {len(names) - 1} in the MPS file",
            )
        return names[int(value)]

    def by_index(self, lines: Iterable[tuple[int, list[str]]]) -> LowerData:
        columns: list[str] = []
        slopes: list[float] = []
        last = 0
        for line, words in lines:
            last, key = line, words[0].upper()
            if key in ("IC", "IB"):
                raise self._wrong(
                    line, f"{key} is short for an interdiction row", "write that row and x into the MPS file"
                )
            if key not in _NUMBERS or len(words) < 2:
                raise self._wrong(
                    line, f"{' '.join(words)!r} is not read", f"a line is one of {', '.join(_NUMBERS)} and a number"
                )
            if key == "LC":
                columns.append(self._index(line, words[1], self._columns, "column"))
            elif key == "LR":
                self._data.rows.append(self._index(line, words[1], self._rows, "row"))
            elif key == "LO":
                slopes.append(self._number(line, words[1]))
            elif key == "OS":
                self._data.maximize = self._sense(line, words[1])
            else:
                self._counts["variables" if key == "N" else "rows"] = int(self._number(line, words[1]))
        if len(slopes) != len(columns):
            raise self._wrong(
                last, f"there are {len(columns)} LC and {len(slopes)} LO lines", "write one LO for each LC"
            )
        return self._finish(last, columns, slopes)

    def _sense(self, line: int, text: str) -> bool:
        value = self._number(line, text)
        if value not in (1.0, -1.0):
            raise self._wrong(line, f"the sense {text} is not read", "write OS 1 to minimise, OS -1 to maximise")
        return value < 0

    def by_name(self, lines: Sequence[tuple[int, list[str]]]) -> LowerData:
        columns: list[str] = []
        slopes: list[float] = []
        waiting = end = ""
        last = 0
        for line, words in lines:
            last, key = line, words[0].upper()
            if not key.startswith("@"):
                self._by_name_entry(line, words, waiting or end, columns, slopes)
                waiting = ""
            elif end and key == end:
                end = ""
            elif key in _LISTS and not end:
                end = _LISTS[key]
            elif (key in _COUNTS or key in _SINGLE) and not end:
                waiting = key
            else:
                known = ", ".join([*_COUNTS, *_LISTS, *_SINGLE])
                raise self._wrong(
                    line, f"{words[0]} is not read here", f"write {end}" if end else f"write one of {known}"
                )
        if end:
            raise self._wrong(last, f"{end} is missing", "add it")
        return self._finish(last, columns, slopes)

    def _by_name_entry(self, line: int, words: list[str], place: str, columns: list[str], slopes: list[float]) -> None:
        if place in _COUNTS:
            self._counts[_COUNTS[place]] = int(self._number(line, words[0]))
        elif place == "@OBJSENSE":
            self._data.maximize = words[0].upper().startswith("MAX")
        elif place == "@VARSEND":
            columns.append(self._known(line, words[0], self._columns, "column"))
            slopes.append(self._number(line, words[1]) if len(words) > 1 else 0.0)
        elif place in ("@CONSTRSEND", "@CONSTREND"):
            self._data.rows.append(self._known(line, words[0], self._rows, "row"))
        elif place not in _SINGLE:
            raise self._wrong(
                line, f"{' '.join(words)!r} stands in no section", "put it between @VARSBEGIN and @VARSEND"
            )

    def _known(self, line: int, name: str, names: Sequence[str], kind: str) -> str:
        if name not in names:
            raise self._wrong(line, f"the MPS file has no {kind} {name}", "mend the name")
        return name

    def _finish(self, line: int, columns: list[str], slopes: list[float]) -> LowerData:
        data = self._data
        for kind, found in (("variables", columns), ("rows", data.rows)):
            if len(set(found)) != len(found):
                twice = next(name for k, name in enumerate(found) if name in found[:k])
                raise self._wrong(line, f"{twice} is listed twice", "list it once")
            if self._counts.get(kind, len(found)) != len(found):
                raise self._wrong(
                    line,
                    f"{self._counts[kind]} lower {kind} are announced and {len(found)} listed",
                    "mend one of the two",
                )
        if not columns:
            raise self._wrong(line, "the follower has no variable", "list its columns")
        data.objective = dict(zip(columns, slopes, strict=True))
        return data


def write_aux(
    data: LowerData, path: str | Path, columns: Sequence[str], rows: Sequence[str], form: str, mps: str
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
    mps : str
        Name of the MPS file.
    """
    if form == "index":
        at = {name: k for k, name in enumerate(columns)}
        row_at = {name: k for k, name in enumerate(rows)}
        lines = [f"N {len(data.objective)}", f"M {len(data.rows)}"]
        lines += [f"LC {at[name]}" for name in data.objective]
        lines += [f"LR {row_at[name]}" for name in data.rows]
        lines += [f"LO {slope!r}" for slope in data.objective.values()]
        lines.append(f"OS {-1 if data.maximize else 1}")
    else:
        sign = -1.0 if data.maximize else 1.0
        lines = ["@NUMVARS", str(len(data.objective)), "@NUMCONSTRS", str(len(data.rows)), "@VARSBEGIN"]
        lines += [f"{name} {sign * slope!r}" for name, slope in data.objective.items()]
        lines += ["@VARSEND", "@CONSTRSBEGIN", *data.rows, "@CONSTRSEND", "@NAME", Path(mps).stem, "@MPS", mps]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
