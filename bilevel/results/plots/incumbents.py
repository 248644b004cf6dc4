"""Curves of the best F known by evaluations: drawn, dressed, cut where outliers flatten them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bilevel.contracts.finding import Verdict
from bilevel.errors import OptionError
from bilevel.results.outcome import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Figure  # for who returns one: the library is known here alone


MANY = 200
"""From so many evaluations on, their axis is logarithmic."""


# Okabe and Ito's colours, distinguishable with every kind of colour vision; black is for what is certified.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


_DASHES = ("-", "--", "-.", ":")


STYLES: list[dict[str, Any]] = [{"color": colour, "linestyle": dash} for dash in _DASHES for colour in _COLOURS]


class Curve(NamedTuple):
    """The incumbents of one search: the count of evaluations at each, and F there in the user's sense."""

    method: str
    counts: list[int]
    values: list[float]
    end: int


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


def curve_of(result: Outcome) -> Curve | None:
    """The incumbents of a search; None where there were none, or a single point of a method that is no search."""
    curve = Curve(result.method, [], [], len(result.history))
    best = float("inf")
    for count, evaluation in enumerate(result.history, start=1):
        if evaluation.feasible and evaluation.cost < best:
            best = evaluation.cost
            curve.counts.append(count)
            curve.values.append(evaluation.upper_objective)
    return curve if curve.counts and curve.end > 1 else None


def draw_curve(axes: Axes, curve: Curve, style: dict[str, Any]) -> None:
    """A staircase from the first feasible point to the last evaluation, a mark where it improves."""
    counts, values = [*curve.counts, curve.end], [*curve.values, curve.values[-1]]
    label = f"{curve.method}: {values[-1]:.6g}"
    axes.plot(counts, values, drawstyle="steps-post", linewidth=1.8, alpha=0.9, label=label, **style)
    axes.plot(curve.counts, curve.values, ".", color=style["color"], markersize=5)


def levels(results: Sequence[Outcome], curves: Sequence[Curve]) -> list[tuple[str, float, dict[str, Any]]]:
    """Label, F and style of the horizontal lines: what is certified, and every answer that has no curve."""
    searches = {curve.method for curve in curves}
    points = [(r, r.upper_objective) for r in results if r.verdict.holds_a_point and r.upper_objective is not None]
    certified = [(r.method, value) for r, value in points if r.verdict is Verdict.CERTIFIED_GLOBAL]
    others = [(r, v) for r, v in points if r.verdict is not Verdict.CERTIFIED_GLOBAL and r.method not in searches]
    levels = [
        (f"{result.method} ({result.verdict}): {value:.6g}", value, {"linewidth": 1.5, **style})
        for (result, value), style in zip(others, cycle(STYLES[::-1]), strict=False)
    ]
    if certified:
        names, value = ", ".join(method for method, _ in certified), certified[0][1]
        levels.append((f"certified ({names}): {value:.6g}", value, {"linewidth": 1.2, "color": "black"}))
    return levels


def dress(axes: Axes, longest: int) -> None:
    """Axes, labels, legend."""
    axes.set_xlabel("evaluations of the lower level")
    axes.set_ylabel("best F so far")
    if longest >= MANY:
        axes.set_xscale("log")
        axes.set_xlim(1, longest)
    else:
        axes.set_xlim(0, longest + 1)
        axes.xaxis.set_major_locator(whole_numbers())
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    else:
        axes.tick_params(labelbottom=False, labelleft=False)
        axes.text(0.5, 0.5, "no method found a point", ha="center", va="center", transform=axes.transAxes)


def whole_numbers() -> Any:
    """Where ticks stand on the axis of an integer."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, steps=[1, 2, 5, 10])


def cut_outliers(axes: Axes, curves: Sequence[Curve], levels: list[float]) -> None:
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
