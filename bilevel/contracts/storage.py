"""What a storage must be able to do: keep studies as Optuna keeps them, so that any machine and any tool can go on.

A study is a set of trials under a name. What others read of one (dashboards, plots, importances) are its parameters
under the user's names, its values, its constraints and notes; what a search needs to go on to the last bit is a record
beside them, which only this package reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bilevel.contracts.part import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bilevel.upper.dimension import Dimension


class State(StrEnum):
    """What became of a trial, in Optuna's words."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAIL = "fail"
    WAITING = "waiting"
    RUNNING = "running"


class Aside(StrEnum):
    """What is to become of a trial that was stored and counts no more."""

    SKIP = "skip"
    REDO = "redo"


@dataclass
class Trial:
    """One point as it is stored.

    Attributes
    ----------
    parameters : dict
        Values of the upper variables by name; inactive ones (``ActiveWhen``) are left out.
    state : State
        What became of it.
    values : tuple of float
        The upper objectives in the user's senses; empty where there is no answer.
    constraints : tuple of float
        At most 0 where they hold.
    ended, seconds : float
        When it was over, as ``time.time()`` gives it, and how long it took.
    notes : dict
        For people: the followers' answer, why it failed. Optuna's user attributes.
    record : dict, optional
        For a search that goes on; None in the trial of somebody else.
    reports : dict of int to float
        What was reported before the end, by step.
    number : int, optional
        Its place in the study, of a stored one; of one that is written, the waiting trial that it is the end of.
    """

    parameters: dict[str, Any]
    state: State = State.COMPLETE
    values: tuple[float, ...] = ()
    constraints: tuple[float, ...] = ()
    ended: float = 0.0
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] | None = None
    reports: dict[int, float] = field(default_factory=dict)
    number: int | None = None


class Kept(ABC):
    """One study at a storage, there or to be made.

    Attributes
    ----------
    name : str
        Of the study.
    attributes : dict
        What this package noted of the study; empty in one that is new, or that others made. Under ``aside`` stand the
        numbers of the trials that count no more, as text, and what is to become of each (:class:`Aside`).
    under_way : int or None
        The place that was entered last.
    """

    name: str
    attributes: dict[str, Any]
    under_way: int | None = None

    @abstractmethod
    def trials(self) -> Iterable[Trial]:
        """All that is stored, in the order of arrival; of this package's own trials notes and record alone."""

    @abstractmethod
    def create(self, maximise: Sequence[bool], dimensions: Sequence[Dimension]) -> None:
        """Make the study where there is none; and learn what the parameters are of the trials that will be written."""

    @abstractmethod
    def note(self, attributes: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
        """Keep this package's attributes of the study, and others that people are shown."""

    @abstractmethod
    def enter(self, place: int | None) -> None:
        """Keep the place of the point that is about to be evaluated, None where there is none."""

    @abstractmethod
    def write(self, trials: Sequence[Trial]) -> None:
        """Store some trials for good, in one go.

        Raises
        ------
        StudyError
            If another run of this package wrote to the study meanwhile, or the place does not take it.
        """

    @abstractmethod
    def take(self, trials: Sequence[Trial]) -> None:
        """Store trials that others evaluated; what their parameters are is told by their values."""

    @abstractmethod
    def enqueue(self, parameters: Mapping[str, Any]) -> None:
        """Let a point wait in the study, which is there, for whoever evaluates next."""

    @abstractmethod
    def shared(self) -> Shared:
        """The same study, which is there, as several drivers share it."""

    @abstractmethod
    def frozen(self, trial: Trial) -> Any:
        """The ``optuna.trial.FrozenTrial`` that one is."""

    @abstractmethod
    def optuna(self) -> Any:
        """The ``optuna.storages.BaseStorage`` that this is."""

    @abstractmethod
    def study(self) -> Any:
        """The ``optuna.Study``, which is there, as callbacks are given it: ``stop()`` may be called on it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open."""


class Shared(ABC):
    """A study on which several drivers work, each with a search of its own: what one evaluates the others see at once.

    A driver says while it evaluates that it is alive; what one leaves behind that is not any more, the others free.
    """

    @abstractmethod
    def trials(self) -> list[Trial]:
        """All that is stored, by number; those that run and those that wait as well."""

    @abstractmethod
    def begin(self, parameters: Mapping[str, Any]) -> int:
        """Let everybody know that a point is evaluated from now on; the number of its trial."""

    @abstractmethod
    def claim(self, number: int) -> bool:
        """Take a trial that waits; False where another driver was faster."""

    @abstractmethod
    def end(self, trial: Trial) -> None:
        """Store what became of a trial that was begun or claimed."""

    @abstractmethod
    def drop(self, number: int, reason: str) -> None:
        """Give up a trial that was begun."""

    @abstractmethod
    def free(self) -> None:
        """Give up what drivers began of whom nothing was heard for too long."""

    @abstractmethod
    def close(self) -> None:
        """Be heard of no more."""


class Storage(Part):
    """Where studies are kept. A new one is a file in ``solvers/storages``, named by the scheme of its addresses."""

    @abstractmethod
    def open(self, address: Any, name: str) -> Kept:
        """The study of a name at an address (or, of an object, in it).

        Raises
        ------
        StudyError
            If the place cannot be read or written, or a package is missing.
        """
