"""One run as a picture: the best F known, and what the evaluations gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bilevel.results.outcome import Outcome
from bilevel.results.plots.incumbents import (
    STYLES,
    curve_of,
    cut_outliers,
    draw_curve,
    dress,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Figure  # for who returns one: the library is known here alone


POINT = "#555555"


def draw_run(axes: Axes, result: Outcome, known: float | None) -> None:
    """The incumbent against the evaluations, every point behind it, and a value to measure by."""
    curve = curve_of(result)
    levels = []
    if result.bound is not None:
        levels.append((f"proved bound: {result.bound:.6g}", result.bound, "-"))
    if known is not None:
        levels.append((f"known: {known:.6g}", known, "--"))
    if curve is not None:
        tried = [(k, e.upper_objective) for k, e in enumerate(result.history, start=1) if e.feasible]
        axes.plot(*zip(*tried, strict=True), "o", color=POINT, alpha=0.3, markersize=3.5, markeredgewidth=0)
        _draw_errors(axes, result)
        draw_curve(axes, curve, STYLES[0])
    for label, value, dash in levels:
        axes.axhline(value, zorder=1, label=label, linewidth=1.2, color="black", linestyle=dash)
    for stopped, word, style in ((False, "no answer, or infeasible", STYLES[1]), (True, "pruned", STYLES[2])):
        lost = [k for k, e in enumerate(result.history, start=1) if not e.feasible and e.pruned is stopped]
        if lost and curve is not None:
            axes.plot(lost, [0.0] * len(lost), "|", color=style["color"], markersize=9,
                      transform=axes.get_xaxis_transform(), clip_on=False, label=f"{word}: {len(lost)}")  # fmt: skip
    dress(axes, curve.end if curve is not None else 1)
    if curve is not None:
        cut_outliers(axes, [curve], [value for _, value, _ in levels])
        _cut_worst(axes, [value for _, value in tried], curve.values[-1])


def _draw_errors(axes: Axes, result: Outcome) -> None:
    """A bar of one standard error to both sides, where functions were asked several times."""
    known = [(k, e) for k, e in enumerate(result.history, start=1) if e.feasible and np.isfinite(e.standard_error)]
    if known:
        places, heights = [k for k, _ in known], [e.upper_objective for _, e in known]
        errors = [e.standard_error for _, e in known]
        axes.errorbar(places, heights, yerr=errors, fmt="none", ecolor=POINT, elinewidth=0.8, alpha=0.4)


def _cut_worst(axes: Axes, tried: list[float], best: float) -> None:
    """Leave the worst tenth of the points outside where it would take most of the room."""
    distances = np.abs(np.array(tried) - best)
    usual = float(np.quantile(distances, 0.9))
    if 0 < 4 * usual < distances.max():
        sign = -1.0 if min(tried) < best else 1.0
        axes.set_ylim(*sorted((best - 0.15 * sign * usual, best + 1.5 * sign * usual)))
