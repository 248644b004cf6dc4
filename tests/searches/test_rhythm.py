"""How often a surrogate search without progress looks at the whole box."""

from __future__ import annotations

import numpy as np
import pytest

from bilevel.arrays import Point
from bilevel.programs.answer import Status
from bilevel.solvers.searches.model_based.course import Course, Options
from bilevel.upper.archive import Evaluation
from bilevel.upper.dimension import Dimension
from bilevel.upper.space import Space


class Cube(Space):
    """Three reals and nothing else."""

    def __init__(self) -> None:
        self.dimensions = tuple(Dimension(f"x{k}", 0.0, 1.0) for k in range(3))
        self.names = tuple(d.name for d in self.dimensions)
        self.start = None

    @property
    def constrained(self) -> bool:
        return False

    def allows(self, point: Point) -> bool:
        return True


class Recorder:
    """A step that notes whether it was asked to explore, and leaves the point to chance."""

    promise = float("inf")

    def __init__(self) -> None:
        self.explored: list[bool] = []

    def propose(self, explore: bool) -> Point | None:
        self.explored.append(explore)
        return None


@pytest.mark.parametrize("every", [3, 5])
def test_every_so_many_steps_without_progress_explore(every):
    course = Course(Cube(), np.random.default_rng(0), None, Options(initial=2, every=every))
    course.steps = [step := Recorder()]
    for index in range(40):
        (point,) = course.ask(1)
        course.tell(Evaluation(index, point, {}, status=Status.OPTIMAL, cost=float(index), upper_violation=0.0))
    # Turn 6 is the first with six failures behind it.
    turns = [turn for turn, explored in enumerate(step.explored, 1) if explored]
    assert turns == [turn for turn in range(1, 39) if turn % every == 0 and turn >= 6]
