"""The schedule of x that led to an answer: every upper variable by steps of training, and F beside it."""

from __future__ import annotations

from typing import Any

from bilevel.results.outcome import Outcome


def draw_schedule(figure: Any, result: Outcome) -> None:
    """Draw ``result.schedule`` on a matplotlib figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        To draw on.
    result : Outcome
        Holds a schedule.
    """
    legs = result.schedule
    after = [leg["after"] for leg in legs]
    edges = [legs[0]["after"] - legs[0]["steps"], *after]
    names = list(legs[0]["upper"])
    axes = figure.subplots(len(names) + 1, 1, sharex=True, squeeze=False)[:, 0]
    for panel, name in zip(axes, names, strict=False):
        values = [leg["upper"][name] for leg in legs]
        texts = any(isinstance(value, str) for value in values)
        panel.stairs([list(dict.fromkeys(values)).index(v) for v in values] if texts else values, edges, baseline=None)
        if texts:
            panel.set_yticks(range(len(dict.fromkeys(values))), list(dict.fromkeys(values)))
        elif min(values) > 0 and max(values) > 10 * min(values):
            panel.set_yscale("log")
        panel.set_ylabel(name)
    axes[-1].plot(after, [leg["upper_objective"] for leg in legs], marker="o", markersize=3)
    axes[-1].set_ylabel("F")
    axes[-1].set_xlabel("steps of training")
