"""The second argument of a response function: the evaluation it is called in.

``function(x, trial)`` may report how far it has got (``trial.report(value, step)``), ask whether to go on
(``trial.should_prune()``) and draw its random numbers from ``trial.seed``. That is the manner of Optuna (Akiba et al.
2019, section 3.2), so that a training loop written for its trials moves over unchanged, with
``optuna.TrialPruned``.

Which evaluation is under way is known to whatever is called inside it (:func:`under`), as a deadline is: between the
loop that knows the others' reports and the function lie parts that are not concerned with either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn

from bilevel.errors import AnswerError
from bilevel.language.trials.leg import Leg

Reports = tuple[tuple[float, float], ...]
"""``(step, value)`` in the order in which they were reported; values in the user's sense."""

AT_LAST = 2**30
"""The place, beyond any history, that the seeds of the last look belong to."""

_PRUNED = "TrialPruned"


class TrialPruned(Exception):
    """Raised by a response function that stops where :meth:`Trial.should_prune` says so.

    Examples
    --------
    >>> import bilevel
    >>> def train(x, trial):
    ...     for epoch in range(1, 10):
    ...         loss = (x["rate"] - 0.5) ** 2 + 1 / epoch
    ...         trial.report(loss, epoch)
    ...         if trial.should_prune():
    ...             raise bilevel.TrialPruned
    ...     return {"loss": loss}
    """


def is_pruned(error: BaseException) -> bool:
    """Whether an exception is ours or Optuna's word for a trial that was pruned; Optuna is not loaded for that."""
    return any(kind.__name__ == _PRUNED for kind in type(error).__mro__)


@dataclass(frozen=True)
class Terms:
    """Under which terms a point is evaluated: a frozen value that goes with it to whoever evaluates it.

    Attributes
    ----------
    number : int
        Its place in the history.
    seeds : tuple of int
        One for each time that the functions are asked.
    prunes : callable or None
        Whether to stop after these reports; None where nothing is stopped.
    expected : callable or None
        What F, minimised, may be expected to come to after them.
    followers : tuple of int
        Their places in the order in which they answer in a race; empty where there is none.
    rungs : tuple of float
        Values of the fidelity below the full one, rising, that are looked at first.
    near : tuple of (tuple of float, tuple of float)
        In a race: x and y of points beside it where all followers answered.
    leg : Leg or None
        From which state functions go on, and how far; None where they are to go all the way.
    """

    number: int = -1
    seeds: tuple[int, ...] = (0,)
    prunes: Callable[[Reports], bool] | None = None
    expected: Callable[[Reports], float] | None = None
    followers: tuple[int, ...] = ()
    rungs: tuple[float, ...] = ()
    near: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    leg: Leg | None = None


class Trial:
    """The evaluation that a response function is called in.

    Attributes
    ----------
    number : int
        Its place in the history; -1 outside a search.
    seed : int
        For the function's random numbers: the run's own, the same at every point, or with ``repeats`` another one each
        time.
    """

    def __init__(self, terms: Terms, seed: int | None = None, judged: bool = True) -> None:
        self.terms = terms
        self.number = terms.number
        self.seed = terms.seeds[0] if seed is None else seed
        self._judged = judged
        self._reports: list[tuple[float, float]] = []

    def report(self, value: float, step: int) -> None:
        """Say what F would be, in the leader's own sense, if the function stopped after this step.

        Parameters
        ----------
        value : float
            A number; NaN where training has come to nothing.
        step : int
            0 or above, and above the steps before it; the same step again is ignored, as in Optuna.
        """
        try:
            number, place = float(value), int(step)
        except (TypeError, ValueError):
            raise AnswerError(f"trial.report({value!r}, {step!r}): takes a number and the step it belongs to") from None
        if place < 0:
            raise AnswerError(f"trial.report(..., step={step}): steps are counted from 0 or 1 upwards")
        silent = bool(self.terms.followers or self.terms.rungs)  # others report: a race, or a look from below
        if not silent and (not self._reports or place > self._reports[-1][0]):
            self._reports.append((place, number))

    def report_look(self, value: float, closeness: float) -> None:
        """What F was, in the user's sense, when the whole was looked at with that fidelity."""
        self._reports.append((closeness, value))

    def report_bound(self, bound: float, count: int) -> None:
        """In a race: what F, minimised, is proved not to be below once so many followers have answered."""
        self._reports.append((count, bound))

    def should_prune(self) -> bool:
        """Whether to stop here, by raising ``bilevel.TrialPruned`` (or Optuna's): others were better by now."""
        prunes = self.terms.prunes
        return self._judged and prunes is not None and bool(self._reports) and prunes(self.reports)

    @property
    def reports(self) -> Reports:
        """What was reported so far."""
        return tuple(self._reports)

    def expected(self) -> float:
        """What F, minimised, may be expected to come to; NaN where nobody knows."""
        expected = self.terms.expected
        return math.nan if expected is None else expected(self.reports)

    def handed(self) -> tuple[Terms, int, bool]:
        """What the same trial is made of in another process."""
        return self.terms, self.seed, self._judged

    def again(self, place: int) -> Trial:
        """The same evaluation once more, with another seed: its reports are neither judged nor kept."""
        return Trial(self.terms, self.terms.seeds[place], judged=False)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("suggest"):
            raise AttributeError(
                f"trial.{name}: the search space is the model's upper variables, and their values are the function's"
                " first argument: x['name']"
            )
        raise AttributeError(f"a trial has no {name!r}; it has number, seed, report(value, step) and should_prune()")


_current: ContextVar[Trial | None] = ContextVar("trial", default=None)


_NONE = Terms()


def terms_now() -> Terms:
    """Those of the evaluation that is under way."""
    trial = _current.get()
    return _NONE if trial is None else trial.terms


def current() -> Trial:
    """The evaluation that is under way; outside of one a trial that is never pruned."""
    trial = _current.get()
    return Trial(_NONE) if trial is None else trial


@contextmanager
def under(trial: Trial) -> Iterator[Trial]:
    """Let an evaluation be the one that is under way inside."""
    token = _current.set(trial)
    try:
        yield trial
    finally:
        _current.reset(token)


def seeds_of(seed: int, number: int, repeats: int) -> tuple[int, ...]:
    """The seeds that one point's functions are given: the run's own where they are asked once, else one of each time.

    Parameters
    ----------
    seed : int
        Of the run.
    number : int
        The point's place; another one gives other seeds.
    repeats : int
        How many times they are asked.
    """
    if repeats == 1:
        return (seed,)
    return fresh_seeds(seed, number, repeats)


def fresh_seeds(seed: int, number: int, repeats: int) -> tuple[int, ...]:
    """The same, new ones in any case."""
    import numpy as np

    drawn: Any = np.random.SeedSequence([seed, number]).generate_state(repeats)
    return tuple(int(value) >> 1 for value in drawn)  # below 2^31, which every library takes
