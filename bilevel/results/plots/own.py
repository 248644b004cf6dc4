"""Pictures that a model brings: ``model.pictures``, a mapping of a name to ``draw(figure, result, model)``.

A trade has pictures of its own, which the toolkit need not know: a function draws one on a figure that is handed to it,
by the figure's own methods. ``result.plot(name)`` shows one, ``--report`` all.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bilevel.errors import OptionError
from bilevel.results.outcome import Outcome
from bilevel.results.plots.incumbents import check_format

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure  # for who returns one: the library is known here alone


def plot_own(result: Outcome, name: str, path: str | Path | None = None) -> Figure:
    """Draw one of the pictures that the model brought.

    Parameters
    ----------
    result : Outcome
        Its ``pictures`` hold the name.
    name : str
        Which.
    path : str or Path, optional
        Where to write; the ending says the format.

    Raises
    ------
    OptionError
        If there is none of that name, or matplotlib does not know the format.
    """
    from matplotlib.figure import Figure

    if path is not None:
        check_format(path)
    if name not in result.pictures:
        known = ", ".join(result.pictures) or "none, or the model was solved in another process"
        raise OptionError(f"the model has no picture {name!r}; it has {known}")
    figure = Figure(figsize=(9, 5), dpi=90, layout="constrained")
    result.pictures[name](figure)
    if path is not None:
        figure.savefig(path)
    return figure
