"""F near the answer: slices and maps through a model of what was tried, and what moves F most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bilevel.results.landscape import FEWEST, Landscape
from bilevel.results.outcome import Outcome
from bilevel.results.plots.incumbents import (
    STYLES,
    check_format,
    whole_numbers,
)
from bilevel.results.plots.run import POINT, draw_run
from bilevel.upper.archive import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Figure  # for who returns one: the library is known here alone

    from bilevel.upper.dimension import Dimension

_BAND = "#9ecae1"


_FINE = 161  # places along an axis


_COARSE = 61  # along each of two


_SLICES = 4


_BARS = 12


_TICKS = 5


def plot_result(result: Outcome, path: str | Path | None = None, known: float | None = None) -> Figure:
    """Draw one run; see :meth:`bilevel.results.result.Result.plot`."""
    from matplotlib.figure import Figure

    if path is not None:
        check_format(path)
    answered = [e for e in result.history if e.answered]
    land = (
        Landscape(result.space, result.history, result.conditions) if result.space and len(answered) >= FEWEST else None
    )
    if land is None or not land.free:
        figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
        draw_run(figure.add_subplot(), result, known)
    elif len(land.free) == 1:
        figure = Figure(figsize=(11, 4.5), dpi=150, layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_run(left, result, known)
        _draw_slice(right, _Picture(land, result), land.free[0], legend=True)
    else:
        figure = Figure(figsize=(13, 8), dpi=130, layout="constrained")
        _draw_landscape(figure, _Picture(land, result), result, known)
    if path is not None:
        figure.savefig(path)
    return figure


class _Picture(NamedTuple):
    """A landscape, and the run it comes from."""

    land: Landscape
    result: Outcome

    @property
    def sense(self) -> float:
        """+1 where the leader minimises."""
        opposite = any(e.cost != e.upper_objective for e in self.points)
        return -1.0 if opposite else 1.0

    @property
    def points(self) -> list[Evaluation]:
        """All that were answered."""
        return [e for e in self.result.history if e.answered]

    @property
    def incumbent(self) -> Evaluation:
        """The best of them."""
        return min(self.points, key=lambda e: (not e.feasible, e.cost))


def _draw_landscape(figure: Figure, picture: _Picture, result: Outcome, known: float | None) -> None:
    """Above: the run, the surrogate's mean and deviation over two variables. Below: importances, slices."""
    shares = picture.land.importances()
    slices = list(shares)[:_SLICES]
    words = [k for k in shares if picture.land.dimensions[k].categorical]
    if words and not set(words) & set(slices):  # a map tells little of a category, a slice all
        slices[-1] = words[0]
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    above, below = halves
    axes = above.subplots(1, 3)
    draw_run(axes[0], result, known)
    _draw_map(axes[1], axes[2], picture, sorted(list(shares)[:2]))
    lower = below.subplots(1, len(slices) + 1, width_ratios=[1.25] + [1.0] * len(slices))
    _draw_importances(lower[0], shares, picture.land.dimensions)
    for place, k in enumerate(slices):
        _draw_slice(lower[place + 1], picture, k, legend=place == 0)
        if place:
            lower[place + 1].set_ylabel("")
    _same_heights(list(lower[1:]))


def _draw_map(mean_axes: Axes, deviation_axes: Axes, picture: _Picture, pair: list[int]) -> None:
    """The surrogate's mean and the width of its band over two variables, the others at the incumbent."""
    land = picture.land
    across, up = (_places(land.dimensions[k], _COARSE) for k in pair)
    grid = np.stack(np.meshgrid(across, up, indexing="xy"), axis=-1).reshape(-1, 2)
    units = np.repeat(land.best[None], len(grid), axis=0)
    units[:, pair] = grid
    mean, low, high = land.predict(units)
    shape = (len(up), len(across))
    width = ((high - low) / 4).reshape(shape)
    x, y = (_positions(land.dimensions[k], places) for k, places in zip(pair, (across, up), strict=True))
    rest = ", the rest at the incumbent" if len(land.free) > 2 else ""
    for axes, values, map_, title in (
        (mean_axes, picture.sense * mean.reshape(shape), "viridis" if picture.sense > 0 else "viridis_r", "F"),
        (deviation_axes, width, "magma", "deviation of F"),
    ):
        limits = np.percentile(values, [0, 97] if axes is deviation_axes or picture.sense > 0 else [3, 100])
        mesh = axes.pcolormesh(x, y, values, cmap=map_, shading="nearest", vmin=limits[0], vmax=limits[1],
                               rasterized=True)  # fmt: skip
        axes.figure.colorbar(mesh, ax=axes, extend="min" if values.min() < limits[0] else "max")
        axes.set_title(f"surrogate: {title}{rest}", fontsize=9)
        _draw_tried(axes, picture, pair)
        for k, axis, setter in ((pair[0], axes.xaxis, axes.set_xscale), (pair[1], axes.yaxis, axes.set_yscale)):
            _scale(axis, setter, land.dimensions[k])


def _draw_tried(axes: Axes, picture: _Picture, pair: list[int]) -> None:
    """Every answered point, projected on two variables, and the incumbent."""
    places = [[e.point[k] for e in picture.points if e.feasible] for k in pair]
    broken = [[e.point[k] for e in picture.points if not e.feasible] for k in pair]
    axes.plot(*broken, "x", color="white", markersize=4, alpha=0.85)
    axes.plot(*places, "o", color="white", markersize=3.5, markeredgecolor="black", markeredgewidth=0.5, alpha=0.85)
    best = [[picture.incumbent.point[k]] for k in pair]
    axes.plot(*best, "*", color=STYLES[1]["color"], markersize=14, markeredgecolor="white")


def _draw_importances(axes: Axes, shares: dict[int, float], dimensions: Sequence[Dimension]) -> None:
    """One bar per variable."""
    shown = list(shares.items())[:_BARS][::-1]
    axes.barh([dimensions[k].name for k, _ in shown], [share for _, share in shown], color=STYLES[0]["color"])
    axes.set_xlim(0, max(1e-9, *(share for _, share in shown)) * 1.18)
    for place, (_, share) in enumerate(shown):
        axes.text(share, place, f" {share:.2f}", va="center", fontsize=8)
    axes.set_title("importance (total Sobol index\nof the surrogate)", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_slice(axes: Axes, picture: _Picture, k: int, legend: bool) -> None:
    """The surrogate through the incumbent along one variable, with two deviations and the points tried."""
    land, dimension, sense = picture.land, picture.land.dimensions[k], picture.sense
    places = _places(dimension, _FINE)
    mean, low, high = (sense * values for values in land.predict(land.along(k, places)))
    x = _positions(dimension, places)
    if dimension.categorical:
        axes.errorbar(x, mean, np.abs(np.vstack([mean - low, high - mean])), fmt="s", color=STYLES[0]["color"],
                      capsize=4, label="surrogate, ± 2 deviations")  # fmt: skip
    else:
        axes.fill_between(x, low, high, color=_BAND, alpha=0.5, linewidth=0, label="± 2 deviations")
        axes.plot(x, mean, color=STYLES[0]["color"], label="surrogate")
    only = len(land.free) == 1
    tried = [(e.point[k], e.upper_objective) for e in picture.points if e.feasible]
    broken = [(e.point[k], e.upper_objective) for e in picture.points if not e.feasible]
    look: dict[str, Any] = {"markersize": 4.5, "alpha": 0.9} if only else {"markersize": 3, "alpha": 0.25}
    if tried:
        axes.plot(*zip(*tried, strict=True), "o", color=POINT, markeredgewidth=0, label="points tried", **look)
    if broken:
        axes.plot(*zip(*broken, strict=True), "x", color=STYLES[4]["color"], label="break a constraint", **look)
    best = picture.incumbent
    axes.plot([best.point[k]], [best.upper_objective], "*", color=STYLES[1]["color"],
              markersize=13, markeredgecolor="white", label="incumbent")  # fmt: skip
    _scale(axes.xaxis, axes.set_xscale, dimension)
    if not land.matters(k):
        axes.set_xlabel(f"{dimension.name} (inactive here)")
    axes.set_ylabel("F")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    _frame(
        axes,
        np.concatenate([mean, [value for _, value in tried + broken] if only else [best.upper_objective]]),
        low,
        high,
    )
    if legend:
        axes.legend(frameon=False, fontsize=8)


def _frame(axes: Axes, values: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    """Show all values, and of the band what is no wider than their range on either side."""
    bottom, top = float(values.min()), float(values.max())
    span = top - bottom or abs(top) or 1.0
    bottom = max(float(np.minimum(low, high).min()), bottom - 0.6 * span)
    top = min(float(np.maximum(low, high).max()), top + 0.6 * span)
    axes.set_ylim(min(bottom, float(values.min())) - 0.05 * span, max(top, float(values.max())) + 0.05 * span)


def _same_heights(row: list[Axes]) -> None:
    """One scale for all slices: a variable that matters is seen to matter."""
    limits = [axes.get_ylim() for axes in row]
    for axes in row:
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _places(dimension: Dimension, count: int) -> NDArray[np.float64]:
    """Places on the unit interval to draw at: every one of a short list, else evenly spaced ones."""
    if dimension.integer and dimension.size <= count:
        return np.linspace(0.0, 1.0, int(dimension.size))
    return np.linspace(0.0, 1.0, count)


def _positions(dimension: Dimension, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where unit places stand on an axis: a list's values stand evenly, each at its number."""
    return np.array([dimension.from_unit(place) for place in places], dtype=float)


def _scale(axis: Any, set_scale: Any, dimension: Dimension) -> None:
    """Name, scale and ticks of one variable's axis."""
    axis.set_label_text(dimension.name)
    if dimension.scale == "log":
        set_scale("log")
    if dimension.integer and dimension.values is None and dimension.scale != "log":
        axis.set_major_locator(whole_numbers())
    if dimension.values is not None:
        stride = 1 if dimension.categorical else -(-(len(dimension.values) - 1) // (_TICKS - 1)) or 1
        places = range(0, len(dimension.values), stride)
        axis.set_ticks(list(places), [_named(dimension.values[k]) for k in places], fontsize=8)


def _named(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else str(value)
