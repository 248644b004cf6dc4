"""A front as a picture: two objectives against each other, pairs and parallel coordinates where there are more.

What was tried and is dominated stands faint behind the front, certified points are black, and a path of steps joins the
points of two objectives: what lies above it is dominated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bilevel.arrays import Array
from bilevel.contracts.finding import Verdict
from bilevel.results.fronts.front import FrontOutcome
from bilevel.results.plots.incumbents import STYLES, check_format
from bilevel.upper.front import ends, ranges_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Figure  # for who returns one: the library is known here alone

_FAINT = "#777777"
_MARGIN = 0.12  # of the front's range, beyond which dominated points are not shown


def plot_front(result: FrontOutcome, path: str | Path | None = None) -> Figure:
    """Draw one front.

    Parameters
    ----------
    result : FrontOutcome
        What was found; values are in the user's senses.
    path : str or Path, optional
        Where to write; the ending says the format.

    Returns
    -------
    Figure
        Made without pyplot.
    """
    return plot_fronts([result], path)


def plot_fronts(results: Sequence[FrontOutcome], path: str | Path | None = None) -> Figure:
    """Draw the fronts of several methods on one model, or of one; arguments as above."""
    from matplotlib.figure import Figure

    if path is not None:
        check_format(path)
    with_points = [result for result in results if result.front]
    names = list(results[0].senses) if results else []
    pairs = list(itertools.combinations(range(len(names)), 2))
    if not with_points or not pairs:
        figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        axes.text(0.5, 0.5, "no method found a point", ha="center", va="center", transform=axes.transAxes)
    elif len(pairs) == 1:
        figure = Figure(figsize=(8, 5.5), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        _pair(axes, with_points, names, (0, 1))
        axes.legend(frameon=False)
    else:
        figure = _many(with_points, names, pairs)
    if path is not None:
        figure.savefig(path)
    return figure


def _many(results: Sequence[FrontOutcome], names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> Figure:
    """A panel per pair of objectives, and below them all objectives side by side."""
    from matplotlib.figure import Figure

    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(3.6 * columns + 0.6, 3.3 * rows + 3.2), dpi=150, layout="constrained")
    panels = figure.add_gridspec(rows + 1, columns)
    for k, pair in enumerate(pairs):
        axes = figure.add_subplot(panels[k // columns, k % columns])
        _pair(axes, results, names, pair)
        if k == 0:
            axes.legend(frameon=False, fontsize="small")
    _parallel(figure.add_subplot(panels[rows, :]), results, names)
    return figure


def _pair(axes: Axes, results: Sequence[FrontOutcome], names: Sequence[str], pair: tuple[int, int]) -> None:
    """Two objectives against each other."""
    i, j = pair
    signs = np.array([float(results[0].senses[name]) for name in names])
    fronts = [signs * result.costs for result in results]
    everything = np.vstack(fronts)
    for k, (result, front) in enumerate(zip(results, fronts, strict=True)):
        colour = STYLES[k % len(STYLES)]["color"]
        tried = [signs * np.array(result.costs_of(e)) for e in result.history if e.feasible and e.upper_objectives]
        if tried:
            cloud = np.array(tried)
            axes.plot(cloud[:, i], cloud[:, j], ".", color=colour if len(results) > 1 else _FAINT, alpha=0.25,
                      markersize=4, markeredgewidth=0, zorder=1)  # fmt: skip
        label = f"{result.method}: {len(front)} points"
        if len(names) == 2:
            _steps(axes, front, signs, colour)
        axes.plot(front[:, i], front[:, j], "o", color=colour, markersize=5, label=label, zorder=3)
        proved = np.array([point.verdict is Verdict.CERTIFIED_GLOBAL for point in result.front])
        if proved.any():
            axes.plot(front[proved, i], front[proved, j], "o", markerfacecolor="none", markeredgecolor="black",
                      markersize=7, label="certified" if len(results) == 1 else None, zorder=4)  # fmt: skip
    for set_limits, column in ((axes.set_xlim, everything[:, i]), (axes.set_ylim, everything[:, j])):
        low, high = float(column.min()), float(column.max())
        width = (high - low) or max(1.0, abs(low))
        set_limits(low - _MARGIN * width, high + _MARGIN * width)
    axes.set_xlabel(_label(results[0], names[i]))
    axes.set_ylabel(_label(results[0], names[j]))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _steps(axes: Axes, front: Array, signs: Array, colour: str) -> None:
    """What two objectives dominate begins at this line."""
    order = np.argsort(signs[0] * front[:, 0])
    axes.step(front[order, 0], front[order, 1], where="post", color=colour, alpha=0.6, linewidth=1.1, zorder=2)


def _parallel(axes: Axes, results: Sequence[FrontOutcome], names: Sequence[str]) -> None:
    """Every point as a line over all objectives, its best at the bottom of each."""
    ideal, nadir = ends(np.vstack([result.costs for result in results]))
    for k, result in enumerate(results):
        scaled = (result.costs - ideal) / ranges_of(ideal, nadir)
        colours = _shades(scaled[:, 0]) if len(results) == 1 else [STYLES[k % len(STYLES)]["color"]] * len(scaled)
        for row, colour in zip(scaled, colours, strict=True):
            axes.plot(range(len(names)), row, color=colour, alpha=0.6, linewidth=1.0)
    axes.set_xticks(range(len(names)), [_label(results[0], name) for name in names])
    axes.set_yticks([0, 1], ["best", "worst"])
    axes.set_ylabel("of the front")
    axes.grid(alpha=0.25, axis="x")
    axes.spines[["top", "right"]].set_visible(False)


def _shades(values: Array) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["viridis"](0.9 * float(value)) for value in values]


def _label(result: FrontOutcome, name: str) -> str:
    return f"{name} ({'max' if result.senses[name] < 0 else 'min'})"
