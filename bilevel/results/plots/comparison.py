"""The pictures of a comparison and of one run. The only file that knows matplotlib.

Of several methods: the usual picture of black-box optimization, the incumbent against the evaluations, with the
certified F as the line that no curve can cross. Of one search: the same with every point tried, then what its history
says about F (:mod:`bilevel.results.landscape`): the surrogate over the one or two variables that matter most with its
uncertainty, how much each variable matters, and slices through the incumbent. Figures are made without pyplot, so a
user's own plots and backend stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bilevel.errors import OptionError
from bilevel.results.landscape import FEWEST, Landscape
from bilevel.results.result import Result, Verdict
from bilevel.upper.archive import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bilevel.upper.space import Dimension

MANY = 200
"""From so many evaluations on, their axis is logarithmic."""

# Okabe and Ito's colours, distinguishable with every kind of colour vision; black is for what is certified.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", "-.", ":")
_STYLES: list[dict[str, Any]] = [{"color": colour, "linestyle": dash} for dash in _DASHES for colour in _COLOURS]


_BAND = "#9ecae1"
_POINT = "#555555"
_FINE = 161  # places along an axis
_COARSE = 61  # along each of two
_SLICES = 4
_BARS = 12
_TICKS = 5


class Curve(NamedTuple):
    """The incumbents of one search: the count of evaluations at each, and F there in the user's sense."""

    method: str
    counts: list[int]
    values: list[float]
    end: int


def plot_comparison(results: Sequence[Result], path: str | Path | None = None) -> Figure:
    """Draw every search's incumbent F against its evaluations, and certified values as a horizontal line.

    Parameters
    ----------
    results : sequence of Result
        Of one model. F is in the user's sense: where the leader maximises, the curves rise.
    path : str or Path, optional
        Where to write; the ending says the format (``.png``, ``.pdf``, ``.svg``).

    Returns
    -------
    Figure
        Made without pyplot.

    Raises
    ------
    OptionError
        If matplotlib does not know the format.
    """
    from matplotlib.figure import Figure

    if path is not None:
        check_format(path)
    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    curves = [curve for curve in map(curve_of, results) if curve is not None]
    for curve, style in zip(curves, cycle(_STYLES), strict=False):
        _draw_curve(axes, curve, style)
    levels = _levels(results, curves)
    for label, value, style in levels:
        axes.axhline(value, zorder=1, label=label, **style)
    _dress(axes, max((curve.end for curve in curves), default=1))
    _cut_outliers(axes, curves, [value for _, value, _ in levels])
    if path is not None:
        figure.savefig(path)
    return figure


def as_png(figure: Figure, dots: int = 100) -> bytes:
    """A figure as the bytes of a PNG file, with so many dots per inch."""
    page = BytesIO()
    figure.savefig(page, format="png", dpi=dots)
    return page.getvalue()


def check_format(path: str | Path) -> None:
    """Refuse a file ending that matplotlib does not know, before any work is done.

    Raises
    ------
    OptionError
        If matplotlib does not know the format.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if Path(path).suffix.lstrip(".").lower() not in known:
        raise OptionError(f"no picture can be written to {path}; end its name in one of .{', .'.join(known)}")


def curve_of(result: Result) -> Curve | None:
    """The incumbents of a search; None where there were none, or a single point of a method that is no search."""
    curve = Curve(result.method, [], [], len(result.history))
    best = float("inf")
    for count, evaluation in enumerate(result.history, start=1):
        if evaluation.feasible and evaluation.cost < best:
            best = evaluation.cost
            curve.counts.append(count)
            curve.values.append(evaluation.upper_objective)
    return curve if curve.counts and curve.end > 1 else None


def _draw_curve(axes: Axes, curve: Curve, style: dict[str, Any]) -> None:
    """A staircase from the first feasible point to the last evaluation, a mark where it improves."""
    counts, values = [*curve.counts, curve.end], [*curve.values, curve.values[-1]]
    label = f"{curve.method}: {values[-1]:.6g}"
    axes.plot(counts, values, drawstyle="steps-post", linewidth=1.8, alpha=0.9, label=label, **style)
    axes.plot(curve.counts, curve.values, ".", color=style["color"], markersize=5)


def _levels(results: Sequence[Result], curves: Sequence[Curve]) -> list[tuple[str, float, dict[str, Any]]]:
    """Label, F and style of the horizontal lines: what is certified, and every answer that has no curve."""
    searches = {curve.method for curve in curves}
    points = [(r, r.upper_objective) for r in results if r.verdict.holds_a_point and r.upper_objective is not None]
    certified = [(r.method, value) for r, value in points if r.verdict is Verdict.CERTIFIED_GLOBAL]
    others = [(r, v) for r, v in points if r.verdict is not Verdict.CERTIFIED_GLOBAL and r.method not in searches]
    levels = [
        (f"{result.method} ({result.verdict}): {value:.6g}", value, {"linewidth": 1.5, **style})
        for (result, value), style in zip(others, cycle(_STYLES[::-1]), strict=False)
    ]
    if certified:
        names, value = ", ".join(method for method, _ in certified), certified[0][1]
        levels.append((f"certified ({names}): {value:.6g}", value, {"linewidth": 1.2, "color": "black"}))
    return levels


def _dress(axes: Axes, longest: int) -> None:
    """Axes, labels, legend."""
    axes.set_xlabel("evaluations of the lower level")
    axes.set_ylabel("best F so far")
    if longest >= MANY:
        axes.set_xscale("log")
        axes.set_xlim(1, longest)
    else:
        axes.set_xlim(0, longest + 1)
        axes.xaxis.set_major_locator(_whole_numbers())
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    else:
        axes.tick_params(labelbottom=False, labelleft=False)
        axes.text(0.5, 0.5, "no method found a point", ha="center", va="center", transform=axes.transAxes)


def _whole_numbers() -> Any:
    """Where ticks stand on the axis of an integer."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, steps=[1, 2, 5, 10])


def _cut_outliers(axes: Axes, curves: Sequence[Curve], levels: list[float]) -> None:
    """Keep a hopeless first point or two from flattening all that is of interest.

    Where all that is drawn spans more than five times what it spans from the third evaluation on, the latter sets the
    scale and the curves enter from outside.
    """
    shown = [*levels, *(value for curve in curves for value in _from_third(curve))]
    everything = [*shown, *(value for curve in curves for value in curve.values)]
    if not shown:
        return
    low, high = min(shown), max(shown)
    if 0 < 5 * (high - low) < max(everything) - min(everything):
        margin = 0.05 * (high - low)
        axes.set_ylim(low - margin, high + margin)


def _from_third(curve: Curve) -> list[float]:
    """F of the incumbents from the third evaluation on, the one held there included."""
    later = sum(count > 3 for count in curve.counts)
    return curve.values[-later - 1 :]


def plot_result(result: Result, path: str | Path | None = None, known: float | None = None) -> Figure:
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
        _draw_run(figure.add_subplot(), result, known)
    elif len(land.free) == 1:
        figure = Figure(figsize=(11, 4.5), dpi=150, layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_run(left, result, known)
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
    result: Result

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


def _draw_landscape(figure: Figure, picture: _Picture, result: Result, known: float | None) -> None:
    """Above: the run, the surrogate's mean and deviation over two variables. Below: importances, slices."""
    shares = picture.land.importances()
    slices = list(shares)[:_SLICES]
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    above, below = halves
    axes = above.subplots(1, 3)
    _draw_run(axes[0], result, known)
    _draw_map(axes[1], axes[2], picture, sorted(list(shares)[:2]))
    lower = below.subplots(1, len(slices) + 1, width_ratios=[1.25] + [1.0] * len(slices))
    _draw_importances(lower[0], shares, picture.land.dimensions)
    for place, k in enumerate(slices):
        _draw_slice(lower[place + 1], picture, k, legend=place == 0)
        if place:
            lower[place + 1].set_ylabel("")
    _same_heights(list(lower[1:]))


def _draw_run(axes: Axes, result: Result, known: float | None) -> None:
    """The incumbent against the evaluations, every point behind it, and a value to measure by."""
    curve = curve_of(result)
    levels = []
    if result.bound is not None:
        levels.append((f"proved bound: {result.bound:.6g}", result.bound, "-"))
    if known is not None:
        levels.append((f"known: {known:.6g}", known, "--"))
    if curve is not None:
        tried = [(k, e.upper_objective) for k, e in enumerate(result.history, start=1) if e.feasible]
        axes.plot(*zip(*tried, strict=True), "o", color=_POINT, alpha=0.3, markersize=3.5, markeredgewidth=0)
        _draw_curve(axes, curve, _STYLES[0])
    for label, value, dash in levels:
        axes.axhline(value, zorder=1, label=label, linewidth=1.2, color="black", linestyle=dash)
    lost = [k for k, e in enumerate(result.history, start=1) if not e.feasible]
    if lost and curve is not None:
        label = f"no answer, or infeasible: {len(lost)}"
        axes.plot(lost, [0.0] * len(lost), "|", color=_STYLES[1]["color"], markersize=9,
                  transform=axes.get_xaxis_transform(), clip_on=False, label=label)  # fmt: skip
    _dress(axes, curve.end if curve is not None else 1)
    if curve is not None:
        _cut_outliers(axes, [curve], [value for _, value, _ in levels])
        _cut_worst(axes, [value for _, value in tried], curve.values[-1])


def _cut_worst(axes: Axes, tried: list[float], best: float) -> None:
    """Leave the worst tenth of the points outside where it would take most of the room."""
    distances = np.abs(np.array(tried) - best)
    usual = float(np.quantile(distances, 0.9))
    if 0 < 4 * usual < distances.max():
        sign = -1.0 if min(tried) < best else 1.0
        axes.set_ylim(*sorted((best - 0.15 * sign * usual, best + 1.5 * sign * usual)))


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
    axes.plot(*best, "*", color=_STYLES[1]["color"], markersize=14, markeredgecolor="white")


def _draw_importances(axes: Axes, shares: dict[int, float], dimensions: Sequence[Dimension]) -> None:
    """One bar per variable."""
    shown = list(shares.items())[:_BARS][::-1]
    axes.barh([dimensions[k].name for k, _ in shown], [share for _, share in shown], color=_STYLES[0]["color"])
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
        axes.errorbar(x, mean, np.abs(np.vstack([mean - low, high - mean])), fmt="s", color=_STYLES[0]["color"],
                      capsize=4, label="surrogate, ± 2 deviations")  # fmt: skip
    else:
        axes.fill_between(x, low, high, color=_BAND, alpha=0.5, linewidth=0, label="± 2 deviations")
        axes.plot(x, mean, color=_STYLES[0]["color"], label="surrogate")
    only = len(land.free) == 1
    tried = [(e.point[k], e.upper_objective) for e in picture.points if e.feasible]
    broken = [(e.point[k], e.upper_objective) for e in picture.points if not e.feasible]
    look: dict[str, Any] = {"markersize": 4.5, "alpha": 0.9} if only else {"markersize": 3, "alpha": 0.25}
    if tried:
        axes.plot(*zip(*tried, strict=True), "o", color=_POINT, markeredgewidth=0, label="points tried", **look)
    if broken:
        axes.plot(*zip(*broken, strict=True), "x", color=_STYLES[4]["color"], label="break a constraint", **look)
    best = picture.incumbent
    axes.plot([best.point[k]], [best.upper_objective], "*", color=_STYLES[1]["color"],
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
        axis.set_major_locator(_whole_numbers())
    if dimension.values is not None:
        stride = 1 if dimension.categorical else -(-(len(dimension.values) - 1) // (_TICKS - 1)) or 1
        places = range(0, len(dimension.values), stride)
        axis.set_ticks(list(places), [_named(dimension.values[k]) for k in places], fontsize=8)


def _named(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else str(value)
