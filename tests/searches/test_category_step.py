"""The step that chooses among combinations of categories before it looks within one."""

from __future__ import annotations

import numpy as np
import pytest

from bilevel.programs.answer import Status
from bilevel.solvers.searches.model_based.acquisition import ACQUISITIONS
from bilevel.solvers.searches.model_based.category_step import CategoryStep, few_combinations
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.solvers.searches.model_based.gaussian_process_step import GaussianProcessStep
from bilevel.solvers.searches.model_based.memory import Memory
from bilevel.solvers.searches.model_based.pool import Pool
from bilevel.upper.archive import Evaluation
from bilevel.upper.dimension import Dimension
from bilevel.upper.space import Space


class Box(Space):
    """Dimensions alone."""

    def __init__(self, *dimensions: Dimension) -> None:
        self.dimensions = dimensions
        self.names = tuple(d.name for d in dimensions)
        self.start = None

    @property
    def constrained(self) -> bool:
        return False


def names(name: str, count: int) -> Dimension:
    return Dimension(name, 0, count - 1, values=tuple("abcdefghijkl"[:count]), integer=True, categorical=True)


def told(points: list, costs: list[float]) -> tuple[Memory, CategoryStep]:
    """A step in a space of two categories and two reals that knows these points."""
    space = Box(names("kernel", 3), names("scaling", 2), Dimension("u", 0.0, 1.0), Dimension("v", 0.0, 1.0))
    encoding = Encoding(space)
    memory = Memory(encoding)
    pool = Pool(encoding, memory, np.random.default_rng(0))
    for index, (point, cost) in enumerate(zip(points, costs, strict=True)):
        memory.tell(Evaluation(index, point, {}, status=Status.OPTIMAL, cost=cost, upper_violation=0.0))
    return memory, CategoryStep(pool, GaussianProcessStep(pool, ACQUISITIONS["log_ei"]))


ALL = [(k, s) for k in range(3) for s in range(2)]


def test_among_equals_the_least_tried_is_chosen():
    points = [(*c, 0.1 + 0.1 * i, 0.5) for c in ALL for i in range(1 if c == (2, 1) else 4)]
    costs = [1.0 if p[2] == pytest.approx(0.1) else 2.0 for p in points]
    _, step = told(points, costs)
    point = step.propose(False)
    assert point is not None
    assert point[:2] == (2, 1)


def test_among_those_tried_as_often_the_best_is_chosen():
    points = [(*c, 0.1 + 0.2 * i, 0.5) for c in ALL for i in range(3)]
    costs = [0.0 if p[:2] == (1, 0) and p[2] < 0.2 else 3.0 + i % 5 for i, p in enumerate(points)]
    memory, step = told(points, costs)
    point = step.propose(False)
    assert point is not None
    assert point[:2] == (1, 0)
    assert point not in memory.seen


def test_a_good_one_tried_often_gives_way():
    """Thirty points did not improve on one that a barely tried combination nearly equals."""
    points = [(0, 0, 0.03 * i, 0.5) for i in range(30)] + [(2, 0, 0.2, 0.5), (2, 0, 0.9, 0.1)]
    points += [(*c, 0.1 * i, 0.7) for c in ALL if c not in [(0, 0), (2, 0)] for i in range(4)]
    costs = [1.0 + 0.01 * i for i in range(30)] + [1.05, 1.1] + [9.0] * 16
    _, step = told(points, costs)
    point = step.propose(False)
    assert point is not None
    assert point[:2] == (2, 0)


def test_where_it_is_used():
    assert not few_combinations(Encoding(Box(Dimension("u", 0.0, 1.0))))
    assert few_combinations(Encoding(Box(names("c", 3), Dimension("u", 0.0, 1.0))))
    assert few_combinations(Encoding(Box(names("c", 5), names("d", 3), Dimension("u", 0.0, 1.0))))
    assert not few_combinations(Encoding(Box(*(names(c, 2) for c in "cdef"), Dimension("u", 0.0, 1.0))))
