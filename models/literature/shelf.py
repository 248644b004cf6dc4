"""What the files of this shelf share: the record of a problem, and the shape all of them have.

Every other file here is a model file: ``python -m bilevel.solve models/literature/linear.py --set
name=bard_falk_1982`` solves one of its problems, and ``PROBLEMS`` holds them all. A problem is a function that
returns a fresh model, with the source, the best known value and its proof in the docstring and the figures in the
decorator.
"""

import importlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyomo.environ as pyo

from bilevel import LowerLevel

STATUSES = ("optimal", "infeasible", "unbounded", "unattained")
FILES = ("linear", "quadratic", "convex", "nonconvex", "integer", "degenerate")


@dataclass(frozen=True)
class Case:
    """One problem and what is known of it.

    ``value`` is F in the problem's own sense (for "unattained" its infimum or supremum), None where there is none;
    ``upper`` and ``lower`` one best point by component names (of several where ``tags`` has "several optima").
    ``tolerance`` is relative to ``max(1, |F|)``: of the digits of ``value``, where no closed form is at hand.
    """

    name: str
    create: Callable[[], pyo.ConcreteModel]
    group: str
    value: float | None = None
    upper: dict[str, float] = field(default_factory=dict)
    lower: dict[str, float] = field(default_factory=dict)
    status: str = "optimal"
    tags: frozenset[str] = frozenset()
    tolerance: float = 1e-6
    slow: bool = False

    @property
    def convex(self) -> bool:
        """Whether the lower level is a convex program, so that its optimality conditions may stand for it."""
        return not {"nonconvex below", "integer below"} & self.tags


def problem(problems: dict[str, Case], **known: Any) -> Callable[[Callable[[], pyo.ConcreteModel]], Any]:
    """Enter a function into a file's ``PROBLEMS``; ``x`` and ``y`` of the best point may be plain sequences."""

    def enter(create: Callable[[], pyo.ConcreteModel]) -> Callable[[], pyo.ConcreteModel]:
        point = {"upper": _by_name("x", known.pop("x", ())), "lower": _by_name("lower.y", known.pop("y", ()))}
        tags = frozenset(tag.strip() for tag in known.pop("tags", "").split(",") if tag.strip())
        group = Path(create.__code__.co_filename).stem
        problems[create.__name__] = Case(create.__name__, create, group, tags=tags, **{**point, **known})
        return create

    return enter


def _by_name(name: str, values: Any) -> dict[str, float]:
    if not isinstance(values, Iterable):
        return {name: float(values)}
    if isinstance(values, dict):
        return dict(values)
    return {f"{name}[{k}]": float(value) for k, value in enumerate(values, 1)}


def levels(x: Any, y: Any, x_within: Any = pyo.Reals, y_within: Any = pyo.Reals) -> tuple[pyo.ConcreteModel, Any, Any]:
    """A model with the leader's ``x``, a ``LowerLevel`` with the follower's ``y``, and the two.

    Each is given by its bounds: a pair for a single variable, a list of pairs for ``x[1]``, ``x[2]``, ..., None for
    none.
    """
    model = pyo.ConcreteModel()
    if x is not None:
        model.x = _variable(x, x_within)
    model.lower = LowerLevel()
    model.lower.y = _variable(y, y_within)
    return model, None if x is None else model.x, model.lower.y


def _variable(bounds: Any, within: Any) -> pyo.Var:
    if isinstance(bounds, tuple):
        return pyo.Var(within=within, bounds=bounds)
    return pyo.Var(range(1, len(bounds) + 1), within=within, bounds=lambda _, k: bounds[k - 1])


def rows(*expressions: Any) -> pyo.ConstraintList:
    """Constraints, numbered in the order of the source."""
    return pyo.ConstraintList(rule=list(expressions))


def every_problem() -> dict[str, Case]:
    """The whole shelf by name."""
    folder = str(Path(__file__).parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules.setdefault("shelf", sys.modules[__name__])
    found: dict[str, Case] = {}
    for file in FILES:
        problems = importlib.import_module(file).PROBLEMS
        doubled = set(found) & set(problems)
        assert not doubled, f"{doubled} of {file}.py stand in another file too"
        found |= problems
    return found


def choose(problems: dict[str, Case], name: str) -> pyo.ConcreteModel:
    """One of a file's problems; the error of a wrong name lists the right ones."""
    if name not in problems:
        raise ValueError(f"no problem is called {name!r}; there are: {', '.join(problems)}")
    return problems[name].create()
