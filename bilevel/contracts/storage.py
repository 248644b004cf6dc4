"""What a storage must be able to do: keep a search's evaluations, so that a run that ended, or was killed, can go on.

A search is a deterministic function of its seed and of what it is told. So the points, their outcomes and the order of
asking are the whole state: replayed, the search stands where it stood, generator and models included, to the last bit.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from bilevel.contracts.part import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bilevel.arrays import Point
    from bilevel.upper.archive import Evaluation


class Storage(Part):
    """Where one search's evaluations are kept. A new one is a file in ``solvers/storages``, named by its scheme.

    Attributes
    ----------
    identity : dict of str to str
        What the stored run was: method, seed, space, hashes of the model's parts. Empty in a new study.
    evaluations : dict of int to Evaluation
        What is stored, by place in the history.
    under_way : int or None
        The place whose point a run of this study was evaluating when its process died.
    """

    identity: Mapping[str, str]
    evaluations: Mapping[int, Evaluation]
    under_way: int | None = None

    @abstractmethod
    def start(self, given: Point | None) -> Point | None:
        """The point the stored run started from, whatever the model holds since; that given in a new study."""

    @abstractmethod
    def begin(self, identity: Mapping[str, str], window: int) -> None:
        """Enter a new study, or go on with the stored one.

        Parameters
        ----------
        identity : dict of str to str
            What this run is.
        window : int
            How many points this run asks for before the first of them is told.

        Raises
        ------
        StudyError
            If the stored run was another one; the message names the difference.
        """

    @abstractmethod
    def window(self, told: int) -> int:
        """How many points may be out at once after so many were told."""

    @abstractmethod
    def add(self, evaluation: Evaluation) -> None:
        """Store one outcome, for good.

        Raises
        ------
        StudyError
            If another run writes to the same study, or the place does not take it.
        """

    @abstractmethod
    def enter(self, place: int | None) -> None:
        """Note which point is about to be evaluated in this process, for the case that it kills it; None: no more."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open."""
