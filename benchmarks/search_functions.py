"""Test functions of global optimization, each moved and turned, and the list of all development problems."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from search_problems import (
    SearchProblem,
    elastic_net,
    kernel_ridge,
    listed,
    marketing_box,
    marketing_mix,
    media,
    reals,
    regression,
    ridge,
    sequence,
    smooth_data,
    support_vectors,
    tolled,
)

from bilevel.upper.dimension import Dimension

Array = NDArray[np.float64]


def branin(v: Sequence[float]) -> float:
    """Three global minima, 0.397887."""
    x, y = v
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


_HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann(v: Sequence[float]) -> float:
    """Six dimensions, six minima, the best -3.32237."""
    inside = (_HARTMANN_A * (np.asarray(v) - _HARTMANN_P) ** 2).sum(1)
    return -float(np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-inside))


def ackley(z: Array) -> float:
    """Many minima on a cone; 0 at 0."""
    return float(20 + math.e - 20 * np.exp(-0.2 * np.sqrt(np.mean(z**2))) - np.exp(np.mean(np.cos(2 * np.pi * z))))


def rosenbrock(z: Array) -> float:
    """A bent valley; 0 at 1."""
    return float((100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2).sum())


def levy(z: Array) -> float:
    """Many minima; 0 at 1."""
    w = 1 + (z - 1) / 4
    inner = (w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)
    last = (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    return float(np.sin(np.pi * w[0]) ** 2 + inner.sum() + last)


def griewank(z: Array) -> float:
    """A bowl with ripples; 0 at 0."""
    return float(1 + (z**2).sum() / 4000 - np.prod(np.cos(z / np.sqrt(np.arange(1, len(z) + 1)))))


def ellipsoid(z: Array) -> float:
    """Axes from 1 to 1000; 0 at 0."""
    return float((10 ** (3 * np.arange(len(z)) / (len(z) - 1)) * z**2).sum())


def moved(
    function: Callable[[Array], float], seed: int, dimension: int, spread: float, turn: bool = False
) -> Callable[..., float]:
    """The function with its origin moved by up to ``spread`` and, if asked, its axes turned."""
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-spread, spread, dimension)
    basis = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0] if turn else np.eye(dimension)
    return lambda v: function(basis @ (np.asarray(v, dtype=float) - shift))


def moved_integer(
    function: Callable[[Array], float], seed: int, dimension: int, spread: int, width: float
) -> Callable[..., float]:
    """The function on integers, ``width`` apart, its origin moved to a lattice point."""
    shift = np.random.default_rng(seed).integers(-spread, spread + 1, dimension)
    return lambda v: function((np.asarray(v, dtype=float) - shift) * width)


def mixed(v: Sequence[Any]) -> float:
    """Two categories choose the place and the shape of a bowl in four dimensions; 0 for (b, narrow)."""
    place, shape, *rest = v
    centre = {"a": 0.2, "b": 0.65, "c": 0.9, "d": 0.45, "e": 0.1}[place]
    z = np.asarray(rest) - centre
    bowl = {"narrow": 8.0 * (z**2).sum(), "wide": 2.0 * (z**2).sum() + 0.3, "edged": np.abs(z).sum() + 0.15}[shape]
    return float(bowl + {"a": 0.3, "b": 0.0, "c": 0.2, "d": 0.1, "e": 0.5}[place])


def knapsack(v: Sequence[float]) -> float:
    """Allocating a budget of 1.5 over six activities with diminishing returns that interfere with their neighbours."""
    x = np.asarray(v)
    gain = np.array([1.0, 0.8, 1.3, 0.6, 0.9, 1.1]) @ (1 - np.exp(-x * np.array([9.0, 4.0, 3.0, 12.0, 7.0, 5.0])))
    return float(-gain + 2.0 * (x[:-1] * x[1:]).sum())


def spent(v: Sequence[float]) -> float:
    """By how much the budget is exceeded."""
    return float(sum(v) - 1.5)


def unequal(v: Sequence[int]) -> float:
    """Positive unless the six integers are all different in the first three places and even in sum."""
    return 1.0 if len({*v[:3]}) < 3 or sum(v) % 2 else 0.0


def _tuning() -> list[SearchProblem]:
    plain, sparse = regression(11, 60, 25, 6, 2.0), regression(12, 80, 8, 4, 1.5)
    wide, curve, noisy = regression(13, 90, 40, 6, 2.0), smooth_data(14, 90, 3, 0.3), smooth_data(15, 100, 4, 0.5)
    net = (Dimension("l1", 1e-3, 1e3, "log"), Dimension("l2", 1e-3, 1e3, "log"))
    machine = (
        Dimension("C", 1e-2, 1e3, "log"),
        Dimension("epsilon", 1e-3, 1.0, "log"),
        Dimension("gamma", 1e-3, 10.0, "log"),
    )
    choices = (
        sequence("kernel", ["poly2", "laplace", "poly3", "rbf", "cauchy"]),
        sequence("scaling", ["none", "rank", "squash"]),
    )
    kernels = (*choices, Dimension("gamma", 1e-4, 10.0, "log"), Dimension("penalty", 1e-6, 10.0, "log"))
    penalties = reals(8, 1e-3, 1e4, "log", name="penalty")
    small, large = media(21, 3), media(22, 5)
    return [
        SearchProblem("ridge", reals(1, 1e-4, 1e4, "log"), partial(ridge, plain), 9.921726),
        SearchProblem("ridge per feature", penalties, partial(ridge, sparse), 2.330999),
        SearchProblem("ridge per feature, lists", listed(penalties, 15), partial(ridge, sparse), 2.330999),
        SearchProblem("elastic net", net, partial(elastic_net, wide), 4.207097),
        SearchProblem("elastic net, lists", listed(net, 40), partial(elastic_net, plain), 8.223979),
        SearchProblem("support vectors", machine, partial(support_vectors, curve), 0.214463),
        SearchProblem("kernel ridge", kernels, partial(kernel_ridge, noisy), -0.531308),
        SearchProblem("kernel ridge, lists", listed(kernels, 21), partial(kernel_ridge, curve), -1.586915),
        SearchProblem("marketing mix 10", marketing_box(3), partial(marketing_mix, small), 0.127300),
        SearchProblem("marketing mix 16", marketing_box(5), partial(marketing_mix, large), 0.102791),
        SearchProblem(
            "marketing mix 16, lists", listed(marketing_box(5), 11), partial(marketing_mix, media(23, 5)), 0.103849
        ),
        SearchProblem(
            "tolls, coupling", reals(5, 0.0, 5.0), partial(tolled, np.array([0.0, -0.5, 0.3, -1.0, 0.6])), -0.942847
        ),
    ]


def _functions() -> list[SearchProblem]:
    whole = tuple(Dimension(f"k{i}", -8, 8, integer=True) for i in range(10))
    few = tuple(Dimension(f"k{i}", 0, 9, integer=True) for i in range(6))
    lattice = moved_integer(ellipsoid, 39, 6, 4, 0.3)
    choices = (sequence("place", list("abcde")), sequence("shape", ["wide", "edged", "narrow"]))
    return [
        SearchProblem("branin", (Dimension("x", -5, 10), Dimension("y", 0, 15)), branin, 0.397887),
        SearchProblem("hartmann", reals(6, 0, 1), hartmann, -3.32237),
        SearchProblem("ackley, integers", whole, moved_integer(ackley, 31, 10, 4, 0.7), 0.0),
        SearchProblem("rosenbrock", reals(4, -2, 2), lambda v: rosenbrock(np.asarray(v) - [0.3, -0.4, 0.2, -0.1]), 0.0),
        SearchProblem("levy", reals(6, -10, 10), moved(levy, 33, 6, 5), 0.0),
        SearchProblem("griewank, turned", reals(5, -60, 60), moved(griewank, 34, 5, 30, turn=True), 0.0),
        SearchProblem("ellipsoid, turned", reals(8, -3, 3), moved(ellipsoid, 35, 8, 1.5, turn=True), 0.0),
        SearchProblem("mixed", (*choices, *reals(4, 0, 1)), mixed, 0.0),
        SearchProblem("knapsack, constrained", reals(6, 0, 1), knapsack, -3.751135, spent),
        SearchProblem("ellipsoid, predicate", few, lambda v: lattice(np.asarray(v) - 4), 0.09, unequal),
    ]


def problems() -> list[SearchProblem]:
    """All development problems, with the best values known."""
    return [*_tuning(), *_functions()]
