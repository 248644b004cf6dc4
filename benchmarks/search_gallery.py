"""The gallery as problems for searches: as it stands, on integer sequences, constrained, with categories and coupling.

For reporting, not for tuning: searches are developed on ``search_functions.py``. ``best`` is the proved optimum where
``proved``, else the best value that long runs of several methods found; each search starts without the model's initial
values, which are often near the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pyomo.environ as pyo

import bilevel
from bilevel.arrays import Point
from bilevel.files.model_files import load_model
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.sensitivity.second_order import SecondOrder
from bilevel.solvers.loop.evaluate import Evaluate
from bilevel.solvers.loop.granted_gradients import differentiator, granted
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space

_WELCOMING: Any = SimpleNamespace(name="benchmark", uses_gradients=False, welcomes_gradients=True)


@dataclass
class GalleryProblem:
    """A model of the gallery, changed or not.

    Attributes
    ----------
    name, model
        What it is called, and the gallery's name of the model.
    best : float
        F, minimised.
    proved : bool
        Whether that is the optimum.
    rated : bool
        Whether it is hard enough for the table of regrets; the others only count evaluations.
    settings : dict
        Of ``create_model``.
    change : callable, optional
        Changes the model in place.
    curvature : SecondOrder or None
        As the outer loop gives it to a search that is given gradients.
    """

    name: str
    model: str
    best: float
    proved: bool = True
    rated: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    change: Callable[[Any], None] | None = None

    def __post_init__(self) -> None:
        self._known: dict[Point, Evaluation] = {}
        self._evaluate: Evaluate | None = None
        self.curvature: SecondOrder | None = None

    def build(self) -> Any:
        """The Pyomo model."""
        model = load_model(self.model, self.settings)
        if self.change is not None:
            self.change(model)
        return model

    def space(self) -> Space:
        """A fresh space; what a point gives is remembered between searches, with the gradient that ``solve`` gives."""
        compilation = Compilation(Problem.read(self.build()))
        space = Space(compilation)
        space.start = None
        if self._evaluate is None:
            gradients = granted(_WELCOMING, compilation)
            response = Response(compilation.problem, compilation=compilation, warm=False)
            self._evaluate = Evaluate(space, response, differentiator(compilation, gradients))
            self.curvature = SecondOrder(compilation) if gradients and SecondOrder.takes(compilation) else None
        return space

    def evaluate(self, point: Point, index: int) -> Evaluation:
        """What a search is told."""
        assert self._evaluate is not None
        if point not in self._known:
            found = self._evaluate(point, index)
            self._known[point] = found if self.curvature else replace(found, lower={})
        return replace(self._known[point], index=index)


def listed(levels: int, *names: str) -> Callable[[Any], None]:
    """Turn variables into sequences, on their scale."""

    def change(model: Any) -> None:
        for name in names:
            for var in model.find_component(name).values():
                bilevel.discretize(var, levels=levels, scale="log" if name == "penalty" else "linear")

    return change


def shared(model: Any) -> None:
    """All penalties together are limited: random points nearly all break that."""
    model.limit = pyo.Constraint(expr=sum(model.penalty.values()) <= 5.0)


def problems() -> list[GalleryProblem]:
    """All of them."""
    P = GalleryProblem
    media = ("theta", "alpha", "gamma", "penalty")
    return [
        P("ridge", "ridge", 0.499552200972),
        P("ridge, 40 values", "ridge", 0.499552333088, change=listed(40, "penalty")),
        P("ridge, folds", "ridge_folds", 0.501194099221),
        P("lasso", "lasso", 0.501459775723),
        P("penalty per feature", "penalty_per_feature", 0.440348848651, proved=False),
        P(
            "penalty per feature, 15 values",
            "penalty_per_feature",
            0.441258765027,
            proved=False,
            change=listed(15, "penalty"),
        ),
        P("penalty per feature, limited", "penalty_per_feature", 0.455690833083, proved=False, change=shared),
        P("marketing mix", "marketing_mix", 0.0512601928025, proved=False),
        P("marketing mix, 11 values", "marketing_mix", 0.051386476973, proved=False, change=listed(11, *media)),
        P("kernel ridge, categories", "kernel_ridge", 0.482402935153, settings={"gammas": 15, "penalties": 15}),
        P("divisible, predicate", "divisible", -38.5, settings={"most_boxes": 60, "largest_pallet": 12}),
        P("tolls", "toll_setting", -39.0),
        P("tolls, 21 values", "toll_setting", -39.0, change=listed(21, "toll")),
        P("coupling", "coupling", -20.0),
        P("bard", "bard", -12.0),
        P("moore_bard", "moore_bard", -22.0, rated=False),
        P("ridge_line", "ridge_line", 0.0103586217, rated=False),
        P("stackelberg", "stackelberg", -1012.5, rated=False),
        P("toy", "toy", 0.0, rated=False),
        P("quadratic_pair", "quadratic_pair", 0.0, rated=False),
    ]


def relative_gap(problem: GalleryProblem, cost: float) -> float:
    """Distance from the best value, relative where that is not small."""
    return (cost - problem.best) / (abs(problem.best) if abs(problem.best) > 1e-6 else 1.0)
