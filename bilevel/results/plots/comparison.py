"""The pictures of a comparison and of one run. The only file that knows matplotlib.

Of several methods: the usual picture of black-box optimization, the incumbent against the evaluations, with the
certified F as the line that no curve can cross. Of one search: the same with every point tried, then what its history
says about F (:mod:`bilevel.results.landscape`): the surrogate over the one or two variables that matter most with its
uncertainty, how much each variable matters, and slices through the incumbent. Figures are made without pyplot, so a
user's own plots and backend stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from bilevel.results.outcome import Outcome
from bilevel.results.plots.incumbents import (
    STYLES,
    check_format,
    curve_of,
    cut_outliers,
    draw_curve,
    dress,
)
from bilevel.results.plots.incumbents import levels as _levels

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure  # for who returns one: the library is known here alone


def plot_comparison(results: Sequence[Outcome], path: str | Path | None = None) -> Figure:
    """Draw every search's incumbent F against its evaluations, and certified values as a horizontal line.

    Parameters
    ----------
    results : sequence of Outcome
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
    for curve, style in zip(curves, cycle(STYLES), strict=False):
        draw_curve(axes, curve, style)
    levels = _levels(results, curves)
    for label, value, style in levels:
        axes.axhline(value, zorder=1, label=label, **style)
    dress(axes, max((curve.end for curve in curves), default=1))
    cut_outliers(axes, curves, [value for _, value, _ in levels])
    if path is not None:
        figure.savefig(path)
    return figure
