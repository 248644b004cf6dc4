"""What a pruner must be able to do: say of a point under evaluation whether to go on, by what others reported.

A decision must depend on the history alone, not on who is faster. So a pruner is told outcomes in the order in which
points were asked for, as a search is, and each point that is sent out takes a :class:`Judge` with it: all that is known
when it is sent, frozen. With one worker that is every outcome before it; with more it is asynchronous.
"""

from __future__ import annotations

import ast
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from bilevel.contracts.part import Part
from bilevel.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bilevel.language.trials.trial import Reports
    from bilevel.upper.archive import Evaluation


class Judge(ABC):
    """What one point is judged by; it travels to whoever evaluates it.

    Attributes
    ----------
    followers : tuple of int
        Their places in the order in which they are to answer, where the pruner is ``exact``; the reports are then
        ``(how many answered, what F, minimised, is proved not to be below)``, the first before any did.
    """

    followers: tuple[int, ...] = ()

    @abstractmethod
    def prunes(self, reports: Reports) -> bool:
        """Whether to stop after these reports, ``(step, value)``, the last of which is new."""

    def expected(self, reports: Reports) -> float:
        """What F, minimised, may be expected to come to after them; NaN where nothing is known."""
        return math.nan


class Pruner(Part):
    """Stops evaluations that are not worth their rest. A new one is a file in ``solvers/pruners``.

    Parameters
    ----------
    sense : int
        +1 where the leader minimises, -1 where it maximises: reports are in the user's sense.
    seed : int
        Of the run, for one that draws lots.
    **options
        Its own, keyword only, with defaults.
    """

    exact: ClassVar[bool] = False
    """Whether it goes by proved bounds on F, followers in turn, and by no report: then no answer is lost by it."""

    @abstractmethod
    def __init__(self, sense: int, seed: int) -> None: ...

    def among(self, followers: int) -> None:
        """Take note of how many followers there are."""

    def along(self, place: int, values: float) -> None:
        """Take note that neighbours in the upper variable at that place, of so many values, say how low F can be."""

    def beside(self, x: Sequence[float]) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]:
        """Of the points beside this one, one on each side, where all answered with a proof: x and y."""
        return ()

    def spans(self, least: float, most: float) -> None:
        """Take note that reports will lie between these steps, where a fidelity says so."""

    @abstractmethod
    def tell(self, evaluation: Evaluation) -> None:
        """Take an outcome, with what it reported on its way; they come in the order of their places."""

    @abstractmethod
    def judge(self, number: int) -> Judge:
        """What the point with this place is judged by, as far as is known now."""


_ALSO = {"asha": "halving", "successive_halving": "halving"}
_OTHERS = "optuna"  # the part that knows the pruners of that name


def named(text: str) -> tuple[str, dict[str, Any]]:
    """A pruner's name and its options, from ``name`` or ``name(option=value, ...)``.

    Raises
    ------
    OptionError
        If the text is neither.
    """
    wrong = OptionError(f"pruner={text!r}: write a name, or name(option=value, ...) with plain values")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Call) and not tree.args:
            options = {k.arg or "": ast.literal_eval(k.value) for k in tree.keywords}
            tree = tree.func
        else:
            options = {}
    except (SyntaxError, ValueError):
        raise wrong from None
    if not isinstance(tree, ast.Name) or "" in options:
        raise wrong
    return _ALSO.get(tree.id, tree.id), options
