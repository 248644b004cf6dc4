"""The pictures of a marketing mix, each drawn on a figure that is handed in; ``result.plot(name)`` and ``--report`` do.

A model may bring pictures of its own: ``model.pictures`` is a mapping of a name to ``draw(figure, result, model)``.
Those here take the numbers from :mod:`bilevel.blocks.plan`; bands are over the points of the run's history whose error
is within one per cent of the best (``result.near(0.01)``), which fit about as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from bilevel.arrays import Array
from bilevel.blocks.plan import Numbers
from bilevel.blocks.readings import Readings

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8c564b", "#7f7f7f")
WITHIN = 0.01
_POINTS = 24  # of those near the best, at most
_TIMES = np.linspace(0.0, 2.0, 25)
_SHADES = {"training": "#ffffff", "validation": "#f2e6c9", "test": "#e3e3e3"}


def draw_fit(figure: Any, result: Any, model: Any) -> None:
    """The outcome as it was and as it is fitted, the residuals, and the three periods."""
    found = Readings(model, result)
    above, below = _tall(figure, 10, 6).subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    x, fitted = _weeks(found), found.numbers.fitted
    above.plot(x, found.plan.actual, color="black", linewidth=1.1, label="actual")
    above.plot(x, fitted, color=COLOURS[0], linewidth=1.4, label="fitted")
    below.bar(x, found.plan.actual - fitted, width=_width(x), color=COLOURS[1])
    below.axhline(0.0, color="black", linewidth=0.6)
    errors = ", ".join(f"{period} {found.error(period):.3f}" for period in dict.fromkeys(found.plan.periods))
    above.set_title(f"{found.plan.outcome}: NRMSE {errors}", fontsize=10)
    below.set_ylabel("residual")
    for axes in (above, below):
        _shade(axes, found, x)
        _plain(axes)
    above.legend(frameon=False, ncols=5, fontsize=8)


def draw_decomposition(figure: Any, result: Any, model: Any) -> None:
    """What each channel added in each week, above what there would have been without any."""
    found = Readings(model, result)
    axes, x = _tall(figure, 10, 5).subplots(), _weeks(found)
    rest = found.numbers.baseline + sum(found.numbers.moved.values(), np.zeros(found.plan.weeks))
    effects = {name: found.numbers.effect(name) for name in found.plan.channels}
    axes.fill_between(x, 0.0, rest, color="#d9d9d9", linewidth=0, label="without media")
    base = rest.copy()
    for colour, (name, effect) in zip(_cycle(), effects.items(), strict=False):
        axes.fill_between(x, base, base + effect, color=colour, linewidth=0, label=name)
        base = base + effect
    axes.plot(x, found.plan.actual, color="black", linewidth=0.8, label="actual")
    _shade(axes, found, x, marks=False)
    _plain(axes)
    axes.set_ylabel(found.plan.outcome)
    axes.legend(frameon=False, ncols=4, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    axes.set_title("decomposition by week", fontsize=10)


def draw_waterfall(figure: Any, result: Any, model: Any) -> None:
    """From the baseline to the mean fitted outcome: what controls and channels add in a week, on average."""
    found = Readings(model, result)
    rows = list(found.plan.seen)
    seasons = [name for name in found.numbers.moved if name[:3] in ("sin", "cos") and name[3:].isdigit()]
    parts = {"baseline": float(found.numbers.baseline[rows].mean())}
    if seasons:
        parts["seasons"] = float(sum(found.numbers.moved[name][rows].mean() for name in seasons))
    parts |= {n: float(v[rows].mean()) for n, v in found.numbers.moved.items() if n not in seasons}
    parts |= {name: float(found.numbers.effect(name, rows).mean()) for name in found.plan.channels}
    axes = _tall(figure, 8.5, 0.36 * (len(parts) + 1) + 1.4).subplots()
    total, names = sum(parts.values()), [*parts, "fitted"]
    start = 0.0
    for place, (name, size) in enumerate(parts.items()):
        colour = COLOURS[0] if name in found.plan.channels else "#9a9a9a"
        axes.barh(place, size, left=start, color=colour if size >= 0 else COLOURS[1])
        axes.text(max(start, start + size), place, f" {size:,.4g} ({size / total:.1%})", va="center", fontsize=8)
        start += size
    axes.barh(len(parts), total, color="black")
    axes.text(total, len(parts), f" {total:,.4g}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.22)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set_title(f"{found.plan.outcome} a week, without the test weeks", fontsize=10)
    _plain(axes)


def draw_shares(figure: Any, result: Any, model: Any) -> None:
    """Each channel's share of the spend beside its share of the effect, and its return on spend, with their spread."""
    found, near = Readings(model, result), _near(result, model)
    rows, names = list(found.plan.seen), list(found.plan.channels)
    spent = np.array([found.plan.channels[name].spend[rows].sum() for name in names])
    effects = _effects(found.numbers, names, rows)
    others = np.array([_effects(numbers, names, rows) for numbers in [found.numbers, *near]])
    left, right = _tall(figure, 10, 0.6 * len(names) + 1.6).subplots(1, 2, width_ratios=(1.6, 1))
    place = np.arange(len(names))
    left.barh(place - 0.2, spent / spent.sum(), 0.38, color="#9a9a9a", label="share of spend")
    shares = others / np.maximum(others.sum(axis=1, keepdims=True), 1e-300)
    left.barh(place + 0.2, shares[0], 0.38, color=COLOURS[0], xerr=_ends(shares), capsize=3, label="share of effect")
    right.barh(place, effects / spent, 0.5, color=COLOURS[2], xerr=_ends(others / spent), capsize=3)
    for axes, title in ((left, "spend and effect"), (right, f"{found.plan.outcome} per unit of spend (ROAS)")):
        axes.set_yticks(place, names if axes is left else [])
        axes.invert_yaxis()
        axes.set_title(title, fontsize=10)
        _plain(axes)
    left.legend(frameon=False, fontsize=8)
    left.set_xlabel(_told(near), fontsize=8)


def draw_curves(figure: Any, result: Any, model: Any) -> None:
    """Response curves over the spend as it was timed, where the channel stands now, and the band of those near."""
    found, near = Readings(model, result), _near(result, model)
    names, rows = list(found.plan.channels), list(found.plan.seen)
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    grid = np.atleast_1d(_tall(figure, 3.6 * columns, 2.9 * lines + 0.4).subplots(lines, columns)).ravel()
    for axes, colour, name in zip(grid, _cycle(), names, strict=False):
        spend = float(found.plan.channels[name].spend[rows].mean())
        curves = np.array([n.response(name, _TIMES) for n in [found.numbers, *near]]) / len(rows)
        axes.fill_between(_TIMES * spend, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.25, linewidth=0)
        axes.plot(_TIMES * spend, curves[0], color=colour)
        axes.plot([spend], found.numbers.response(name, np.ones(1)) / len(rows), "o", color="black")
        axes.set_title(f"{name}: next unit brings {found.numbers.marginal(name):.3g}", fontsize=9)
        axes.tick_params(labelsize=7)
        axes.locator_params(nbins=5)
        axes.set_ylim(bottom=0.0)
        _plain(axes)
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    figure.supxlabel(f"spend a week, timed as it was; dot: as it was; {_told(near)}", fontsize=8)
    figure.supylabel(f"{found.plan.outcome} a week", fontsize=8)


def draw_adstock(figure: Any, result: Any, model: Any) -> None:
    """What is left of an impulse in the weeks after it, and when half of it has been felt."""
    found = Readings(model, result)
    axes = _tall(figure, 8.5, 4.5).subplots()
    for colour, name in zip(_cycle(), found.plan.channels, strict=False):
        weights = found.decay(name)[:14]
        half = found.half_life(name)
        axes.plot(
            np.arange(len(weights)), weights, "o-", color=colour, markersize=4, label=f"{name}: half-life {half:.2g}"
        )
        if half < len(weights) - 1:
            axes.axvline(half, color=colour, linewidth=0.7, linestyle=":")
    axes.set_xlabel("weeks after the spend")
    axes.set_ylabel("share of the effect carried")
    axes.set_ylim(bottom=0.0)
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("carry-over, and its half-life", fontsize=10)
    _plain(axes)


def draw_identified(figure: Any, result: Any, model: Any) -> None:
    """How far apart the points near the best lie: each channel's share of the effect, each parameter in its range."""
    found, near = Readings(model, result), _near(result, model)
    everyone = [found.numbers, *near]
    names, rows = list(found.plan.channels), list(found.plan.seen)
    effects = np.array([_effects(numbers, names, rows) for numbers in everyone])
    shares = effects / np.maximum(effects.sum(axis=1, keepdims=True), 1e-300)
    bars = [(f"share of effect, {name}", shares[:, k], COLOURS[0]) for k, name in enumerate(names)]
    for name in names:
        for parameter in found.plan.channels[name].parameters:
            low, high = model.component(parameter)[name].bounds
            values = np.array([float(n.parameters[name][parameter]) for n in everyone])
            if high > low:
                bars.append((f"{parameter}, {name}", (values - low) / (high - low), COLOURS[1]))
    axes = _tall(figure, 8.5, 0.24 * len(bars) + 1.4).subplots()
    for place, (_, values, colour) in enumerate(bars):
        axes.plot(
            [values.min(), values.max()], [place, place], color=colour, linewidth=5, alpha=0.5, solid_capstyle="butt"
        )
        axes.plot([values[0]], [place], "|", color="black", markersize=9)
    axes.set_yticks(range(len(bars)), [label for label, _, _ in bars], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(f"share, or place in the variable's range; {_told(near)}", fontsize=8)
    axes.set_title(f"how far apart; at a bound: {len(found.at_bounds())} variables", fontsize=10)
    _plain(axes)


PICTURES: dict[str, Callable[[Any, Any, Any], None]] = {
    "fit": draw_fit,
    "decomposition": draw_decomposition,
    "waterfall": draw_waterfall,
    "shares": draw_shares,
    "curves": draw_curves,
    "adstock": draw_adstock,
    "identified": draw_identified,
}


def _near(result: Any, model: Any) -> list[Numbers]:
    """The numbers at points near the best, evenly chosen by their error where there are many."""
    points = [e for e in result.near(WITHIN) if e.lower] if hasattr(result, "near") else []
    chosen = (
        points if len(points) <= _POINTS else [points[k] for k in np.linspace(0, len(points) - 1, _POINTS).astype(int)]
    )
    return [Readings(model, point).numbers for point in chosen]


def _told(near: Sequence[Numbers]) -> str:
    if len(near) < 2:
        return "no band: the history holds no other point within 1 % of the best"
    return f"bands: {len(near)} points tried within 1 % of the best error"


def _effects(numbers: Numbers, names: Sequence[str], rows: list[int]) -> Array:
    return np.array([float(numbers.effect(name, rows).sum()) for name in names])


def _ends(values: Array) -> Array:
    """How far the least and the largest lie from the first, shape (2, columns)."""
    return np.array([values[0] - values.min(axis=0), values.max(axis=0) - values[0]])


def _weeks(found: Readings) -> Any:
    dates = found.plan.dates
    return np.arange(found.plan.weeks) if dates is None else np.array(dates, dtype="datetime64[D]")


def _width(x: Any) -> Any:
    return 0.9 * float((x[1] - x[0]) / (np.timedelta64(1, "D") if x.dtype.kind == "M" else 1))


def _shade(axes: Any, found: Readings, x: Any, marks: bool = True) -> None:
    """The weeks that judged, and those that were kept apart."""
    periods = np.array(found.plan.periods)
    for period in ("validation", "test"):
        rows = np.flatnonzero(periods == period)
        if len(rows):
            label = period if marks else None
            axes.axvspan(x[rows[0]], x[rows[-1]], color=_SHADES[period], zorder=0, linewidth=0, label=label)


def _tall(figure: Any, width: float, height: float) -> Any:
    figure.set_size_inches(width, height)
    return figure


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)


def _cycle() -> Iterator[str]:
    return cycle(COLOURS)
