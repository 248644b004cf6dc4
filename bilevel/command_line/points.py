"""Points and trials in files: JSON and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bilevel.contracts.storage import State, Trial
from bilevel.errors import OptionError, with_its_kind

_OTHERS = ("values", "constraints", "seconds", "notes")  # columns of JSON beside the parameters
_COLUMNS = ("number", "state", *_OTHERS)


def read_points(option: str, file: str) -> list[dict[str, Any]]:
    """The upper points of a JSON file: an object with values by name, or a list of such.

    Raises
    ------
    OptionError
        If it holds anything else; names the option that the file was given by.
    """
    try:
        found = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"{option} {file}: {error}; it holds a point as JSON, values by name") from None
    points = found if isinstance(found, list) else [found]
    if not all(isinstance(point, dict) for point in points):
        raise OptionError(f'{option} {file}: a point is an object, values by name, as in {{"x": 1.5}}')
    return points


def write_trials(path: Path, trials: Sequence[Trial]) -> None:
    """A row per trial, by the ending; a column per parameter in CSV, every cell JSON.

    Raises
    ------
    OptionError
        If the file cannot be written.
    """
    rows = [_row(trial) for trial in trials]
    try:
        if path.suffix.lower() == ".json":
            path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            return
        names = list(dict.fromkeys(name for row in rows for name in row["parameters"]))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*_COLUMNS[:2], *names, *_OTHERS])
            for row in rows:
                known = row["parameters"]
                values = [json.dumps(known[name]) if name in known else "" for name in names]
                others = [json.dumps(row[name]) for name in _OTHERS]
                writer.writerow([row["number"], row["state"], *values, *others])
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}; choose another place") from error


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": str(trial.state),
        "parameters": trial.parameters,
        "values": list(trial.values),
        "constraints": list(trial.constraints),
        "seconds": trial.seconds,
        "notes": trial.notes,
    }


def read_trials(path: Path) -> list[Trial]:
    """The trials of such a file; ``values`` may be a number, ``state`` left out.

    Raises
    ------
    OptionError
        If it holds anything else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if path.suffix.lower() == ".json" else _cells(text)
        return [_trial(row) for row in rows]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        text = f"{path} cannot be read as trials ({with_its_kind(error)})"
        raise OptionError(f"{text}; it has parameters, state and values, as export writes them") from None


def _cells(text: str) -> list[dict[str, Any]]:
    rows = csv.DictReader(text.splitlines())
    return [
        {name: json.loads(row[name]) for name in _OTHERS if row.get(name)}
        | {"state": row.get("state")}
        | {"parameters": {name: _value(cell) for name, cell in row.items() if name not in _COLUMNS and cell}}
        for row in rows
    ]


def _value(cell: str) -> Any:
    """What a cell holds: JSON, or the word that it is."""
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _trial(row: Mapping[str, Any]) -> Trial:
    values = row["values"]
    return Trial(
        dict(row["parameters"]),
        State(row.get("state") or State.COMPLETE),
        tuple(map(float, values if isinstance(values, list) else [values])),
        tuple(map(float, row.get("constraints", ()))),
        seconds=float(row.get("seconds", 0.0)),
        notes=dict(row.get("notes", {})),
    )
