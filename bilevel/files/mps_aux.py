"""Bilevel instances as a pair of files, MPS or LP and AUX, the exchange format of MibS and BOBILib: in and out."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np
import pyomo.environ as pyo
from pyomo.common.collections import ComponentMap

from bilevel.arrays import Array
from bilevel.errors import LoadingError, OptionError, RefusedError
from bilevel.files.aux_file import AuxFile, LowerData, write_aux
from bilevel.files.interdiction_form import found_in, written_out
from bilevel.files.lp import write_lp
from bilevel.files.lp_reader import read_lp
from bilevel.files.mps import Column, LinearData, Row, write_mps
from bilevel.files.mps_reader import read_mps
from bilevel.files.texts import GZIP, plain_stem, plain_suffix
from bilevel.kkt.choices import list_of
from bilevel.language.lower_level import LowerLevel
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.reading.variables import bounds_of

AUXILIARY, INSTANCES = ".aux", (".mps", ".lp")
FORMS = ("name", "index", "interdiction")
FILE_NAMES = "file_names"
"""A Suffix on the model: a component's name in the file, where Pyomo could not keep it."""


def read_mps_aux(path: str | Path, auxiliary: str | Path | None = None) -> Any:
    """A Pyomo model with a ``LowerLevel`` from an MPS or LP file and its AUX file, each perhaps gzipped.

    Columns and rows keep their names where these are Python names; others (``x[1]``) become one, and the Suffix
    ``file_names`` of the model has the original.

    Parameters
    ----------
    path : str or Path
        The MPS or LP file; or the AUX file, which names it or stands beside it.
    auxiliary : str or Path, optional
        The AUX file; ``instance.aux`` beside ``instance.mps`` where nothing is said, or ``instance.txt``, as it was
        called before.

    Raises
    ------
    LoadingError
        Naming the file, the line and the cure.
    """
    path = Path(path)
    if is_auxiliary(path):
        path, auxiliary = _instance_of(path), path
    aux = AuxFile(_auxiliary_of(path) if auxiliary is None else auxiliary)
    data = read_lp(path) if plain_suffix(path) == ".lp" else read_mps(path)
    blocking = aux.blocking(len(data.columns))
    if blocking is None:
        return _build(data, aux.lower(list(data.columns), list(data.rows)))
    whole = written_out(data, blocking)
    lower = aux.lower(list(whole.columns), list(whole.rows))
    if set(lower.objective) != set(data.columns) or len(lower.rows) != len(whole.rows) - 1:
        count = len(data.columns)
        raise LoadingError(
            f"{path}: with IC and IB the follower has the file's columns, LC {count} to {2 * count - 1}, and all rows"
            f" but the budget, LR 1 to {len(whole.rows) - 1}; list these"
        )
    return _build(whole, lower)


def is_auxiliary(path: str | Path) -> bool:
    """Whether a name is that of an AUX file, gzipped or not."""
    return plain_suffix(Path(path)) == AUXILIARY


def _auxiliary_of(path: Path) -> Path:
    """The AUX file beside an instance: of its name, with or without the instance's ending."""
    stems = (path.name.removesuffix(path.suffix) if path.suffix.lower() == GZIP else path.name, plain_stem(path))
    beside = [
        path.with_name(stem + kind + packed)
        for kind in (AUXILIARY, ".txt")
        for stem in reversed(stems)
        for packed in ("", GZIP)
    ]
    return next((p for p in beside if p.is_file()), beside[0])


def _instance_of(auxiliary: Path) -> Path:
    """The instance that an AUX file is about: of its name beside it, or the one it names."""
    stem = plain_stem(auxiliary)
    stem = Path(stem).stem if Path(stem).suffix.lower() in INSTANCES else stem
    beside = [auxiliary.with_name(stem + kind + packed) for kind in INSTANCES for packed in ("", GZIP)]
    named = AuxFile(auxiliary).instance
    beside += [auxiliary.with_name(Path(named).name)] if named else []
    found = next((p for p in beside if p.is_file()), None)
    if found is None:
        raise LoadingError(f"{auxiliary} has no MPS or LP file beside it; put {beside[0].name} there")
    return found


def _build(data: LinearData, lower: LowerData) -> Any:
    model = pyo.ConcreteModel(name=_python_name(data.name or "instance"))
    model.add_component(FILE_NAMES, pyo.Suffix(direction=pyo.Suffix.LOCAL, datatype=None))
    model.lower = LowerLevel()
    variables: dict[str, Any] = {}
    for name, column in data.columns.items():
        below = name in lower.objective
        variables[name] = _add(model, model.lower if below else model, name, _variable(column))
    follower_rows = set(lower.rows)
    model_sum = {row.name: _sum(row.coefficients, variables) for row in data.rows.values() if row.coefficients}
    for name, row in data.rows.items():
        home = model.lower if name in follower_rows else model
        if name in model_sum:
            low = None if np.isinf(row.lower) else row.lower
            high = None if np.isinf(row.upper) else row.upper
            _add(model, home, name, pyo.Constraint(expr=(low, model_sum[name], high)))
        elif not row.lower <= 0.0 <= row.upper:
            raise LoadingError(
                f"row {name} has no entries and demands {row.lower:g} <= 0 <= {row.upper:g}; mend its bounds"
            )
    sense = (pyo.minimize, pyo.maximize)
    objective = pyo.Objective(expr=_sum(data.objective, variables) + data.constant, sense=sense[data.maximize])
    _add(model, model, "objective", objective)
    below = pyo.Objective(expr=_sum(lower.objective, variables), sense=sense[lower.maximize])
    _add(model, model.lower, "objective", below)
    return model


def _variable(column: Column) -> Any:
    domain = pyo.Integers if column.integer else pyo.Reals
    if column.integer and (column.lower, column.upper) == (0.0, 1.0):
        domain = pyo.Binary
    ends = [None if np.isinf(end) else end for end in (column.lower, column.upper)]
    return pyo.Var(domain=domain, bounds=tuple(ends))


def _sum(coefficients: dict[str, float], variables: dict[str, Any]) -> Any:
    return pyo.quicksum((a * variables[name] for name, a in coefficients.items()))


def _python_name(name: str) -> str:
    name = re.sub(r"\W", "_", name)
    return f"_{name}" if not name or name[0].isdigit() or keyword.iskeyword(name) else name


def _add(model: Any, home: Any, name: str, component: Any) -> Any:
    """Add a component under its name, or the nearest one that is free."""
    chosen = _python_name(name)
    while hasattr(home, chosen):
        chosen += "_"
    home.add_component(chosen, component)
    if chosen != name:
        model.component(FILE_NAMES)[component] = name
    return component


def write_mps_aux(model: Any, path: str | Path, *, form: str = "name") -> None:
    """Write a linear bilevel model as an MPS or LP file and an AUX file of the same name beside it.

    Parameters
    ----------
    model : ConcreteModel
        With one ``LowerLevel``, everything linear.
    path : str or Path
        The MPS or LP file by its ending, gzipped where that is followed by ``.gz``; or the AUX file, and an MPS file
        stands beside it.
    form : {"name", "index", "interdiction"}
        Of the AUX file; the last is MibS's short form of a leader who blocks what the follower may take.

    Raises
    ------
    RefusedError
        If the format cannot hold the model; says which component and why.
    OptionError
        If the ending or the form is none of these, or a file cannot be written.

    Examples
    --------
    >>> import tempfile, bilevel
    >>> folder = tempfile.mkdtemp()
    >>> bilevel.write_mps_aux(bilevel.load_model("moore_bard"), f"{folder}/moore_bard.mps.gz")
    >>> bilevel.load_model(f"{folder}/moore_bard.mps.gz").lower.y.bounds
    (0.0, 10.0)
    """
    if form not in FORMS:
        raise OptionError(f"form={form!r}: an AUX file goes by one of {', '.join(FORMS)}")
    problem, path = Problem.read(model), Path(path)
    packed = GZIP if path.suffix.lower() == GZIP else ""
    if is_auxiliary(path):
        path = path.with_name(plain_stem(path) + ".mps" + packed)
    if plain_suffix(path) not in INSTANCES:
        raise OptionError(f"{path}: the ending says which format, and is one of {', '.join(INSTANCES)}, or {AUXILIARY}")
    _refuse(problem)
    data, lower = _Linear(problem).data(plain_stem(path))
    columns, rows, blocking = list(data.columns), list(data.rows), None
    if form == "interdiction":
        data, blocking = found_in(data, list(lower.objective), lower.rows)
        form, whole = "index", written_out(data, blocking)
        columns, rows = list(whole.columns), list(whole.rows)
        lower = replace(lower, objective={name: lower.objective[name] for name in data.columns}, rows=rows[1:])
    (write_lp if plain_suffix(path) == ".lp" else write_mps)(data, path)
    beside = path.with_name(plain_stem(path) + AUXILIARY + packed)
    write_aux(lower, beside, columns, rows, form, path.name, blocking)


def _refuse(problem: Problem) -> None:
    if len(problem.followers) != 1:
        raise RefusedError(f"the model has {len(problem.followers)} followers; an AUX file describes one")
    follower = problem.followers[0]
    if follower.response is not None:
        raise RefusedError(f"{follower.name} answers by a Python function, which no file of rows and columns holds")
    if problem.multipliers:
        raise RefusedError(f"{problem.multipliers[0].constraint.name}: MPS has no word for dual_of above")
    if problem.allowed:
        raise RefusedError(f"{problem.allowed[0].name} is a predicate, which MPS cannot hold; write it as constraints")
    for var in problem.variables:
        if list_of(var) is not None:
            raise RefusedError(
                f"{var.name} takes its values from a list, which MPS cannot hold; use integers or binaries"
            )


class _Linear:
    """The numbers of a linear problem, columns in the order leader, follower."""

    def __init__(self, problem: Problem) -> None:
        self._problem, self._follower = problem, problem.followers[0]
        self._compilation = Compilation.of(problem)
        self._variables = [*problem.variables, *self._follower.variables]
        self._symbols = ca.vertcat(self._compilation.x, self._compilation.all_y)
        named = problem.model.component(FILE_NAMES)
        self._file_names = named if isinstance(named, pyo.Suffix) else ComponentMap()
        self._names = self._distinct(self._variables)

    def data(self, name: str) -> tuple[LinearData, LowerData]:
        """Both files' contents."""
        problem, follower = self._problem, self._follower
        data = LinearData(re.sub(r"\s", "_", name), maximize=problem.sense < 0)
        low, high, integer = bounds_of(self._variables)
        for k, column in enumerate(self._names):
            data.columns[column] = Column(column, float(low[k]), float(high[k]), bool(integer[k]))
        slope, constant = self._numbers([problem.objective.expr], problem.objective.name)
        data.objective, data.constant = self._coefficients(slope[0]), float(constant[0])
        constraints = [*problem.constraints, *follower.constraints]
        names = self._distinct(constraints)
        for row, constraint in zip(names, constraints, strict=True):
            data.rows[row] = self._row(row, constraint)
        return data, LowerData(self._lower_objective(), names[len(problem.constraints) :], follower.sense < 0)

    def _row(self, name: str, constraint: Any) -> Row:
        _, low, high = self._compilation.written_rows([constraint])
        slope, constant = self._numbers([constraint.body], constraint.name)
        shift = float(constant[0])
        return Row(name, float(low[0]) - shift, float(high[0]) - shift, self._coefficients(slope[0]))

    def _lower_objective(self) -> dict[str, float]:
        objective = self._follower.objective
        assert objective is not None
        slope, constant = self._numbers([objective.expr], objective.name)
        count = len(self._problem.variables)
        if slope[0, :count].any() or constant[0] or not _is_zero(self._follower.aside):
            raise RefusedError(
                f"{objective.name} has a constant or a term in the leader's variables, which an AUX file cannot hold;"
                " take it out: it changes no answer"
            )
        return dict(zip(self._names[count:], (float(a) for a in slope[0, count:]), strict=True))

    def _numbers(self, expressions: list[Any], owner: str) -> tuple[Array, Array]:
        """Coefficients and constants of linear expressions."""
        bodies = ca.vertcat(*(self._compilation.symbol(e, owner) for e in expressions))
        jacobian = ca.jacobian(bodies, self._symbols)
        if ca.depends_on(jacobian, self._symbols):
            raise RefusedError(f"{owner} is not linear, which MPS cannot hold")
        function = ca.Function("numbers", [self._symbols], [ca.densify(jacobian), bodies])
        slope, constant = function(np.zeros(self._symbols.numel()))
        return np.array(slope), np.array(constant).reshape(-1)

    def _coefficients(self, slope: Array) -> dict[str, float]:
        return {self._names[k]: float(slope[k]) for k in np.flatnonzero(slope)}

    def _distinct(self, components: Sequence[Any]) -> list[str]:
        """Names without blanks, each once; those of the file a model came from."""
        return list(_once(re.sub(r"\s", "_", self._file_names.get(c) or self._plain(c)) for c in components))

    def _plain(self, component: Any) -> str:
        home = self._follower.block
        inside = component.name.startswith(f"{home.name}.")
        return str(component.getname(fully_qualified=True, relative_to=home) if inside else component.name)


def _once(names: Iterable[str]) -> Iterable[str]:
    seen: set[str] = set()
    for name in names:
        while name in seen:
            name += "_"
        seen.add(name)
        yield name


def _is_zero(expression: Any) -> bool:
    return isinstance(expression, float) and expression == 0.0
