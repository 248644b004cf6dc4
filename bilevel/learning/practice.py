"""What a careful reader would say of a cross-validated search, in a line each, with the call that is better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bilevel.arrays import Array
from bilevel.learning.candidates import FixedFolds

_REPEATED = 0.01  # of the rows, from which on repeated ones are no accident
_LARGEST = 200_000  # rows that are looked at
_OF_THE_RUN = ("continuous", "widen the range", "initial=", "budget=")


def optimism_of(scores: Array, best: int) -> float:
    """By how much the winner's mean score is too good for having been chosen by it.

    Each fold's own winner beats the common one there by as much as the common one is likely to be overrated on all:
    the bias of Tibshirani and Tibshirani (2009), "A bias correction for the minimum error rate in cross-validation",
    Annals of Applied Statistics 3.

    Parameters
    ----------
    scores : ndarray of shape (candidates, folds)
        Larger is better; NaN where a fit failed.
    best : int
        The winner's row.
    """
    known = np.where(np.isfinite(scores), scores, -np.inf)
    excess = known.max(axis=0) - known[best]
    return float(excess.mean()) if np.isfinite(excess).all() else float("nan")


def remarks(folds: FixedFolds, candidates: int, optimism: float, notes: Sequence[str]) -> Iterator[str]:
    """Lines for ``notes_``.

    Parameters
    ----------
    folds : FixedFolds
        Rows, where they were held, and by which splitter.
    candidates : int
        How many were tried.
    optimism : float
        Of the winner.
    notes : sequence of str
        Of the run.
    """
    yield from (note for note in notes if any(word in note for word in _OF_THE_RUN))
    assert folds.data is not None
    X, y = folds.data
    held = len({int(row) for _, rows in folds.splits for row in np.asarray(rows).tolist()})
    if candidates > held and np.isfinite(optimism):
        yield (
            f"{candidates} candidates were chosen among by {held} held rows: the winner's score is about"
            f" {optimism:.2g} too good (optimism_); score it by rows of their own, or by cross_val_score around it all"
        )
    splitter = folds.splitter
    if getattr(splitter, "random_state", 0) is None and getattr(splitter, "shuffle", True):
        yield (
            f"{type(splitter).__name__} shuffles without a seed: all candidates saw the same folds, and the next fit"
            " will see others; give it a random_state"
        )
    yield from _repeated(X, y, folds)
    yield from _against_time(X, y, folds)


def _repeated(X: Any, y: Any, folds: FixedFolds) -> Iterator[str]:
    """Held rows that were trained on because they are there twice."""
    if y is None or hasattr(X, "toarray") or not 0 < len(X) <= _LARGEST:
        return
    try:
        whole = np.column_stack([np.asarray(X, dtype=float).reshape(len(X), -1), np.asarray(y, dtype=float)]) + 0.0
    except (TypeError, ValueError):
        return
    rows = [row.tobytes() for row in np.ascontiguousarray(whole)]
    if len(set(rows)) == len(rows):
        return
    total = leaked = 0
    for train, held in folds.splits:
        known = {rows[k] for k in np.asarray(train).tolist()}
        total += len(held)
        leaked += sum(rows[k] in known for k in np.asarray(held).tolist())
    if leaked > _REPEATED * total:
        yield (
            f"{leaked} of {total} held rows are among the rows trained on, for they are there more than once; drop the"
            " repetitions, or keep them in one fold with cv=GroupKFold() and groups="
        )


def _against_time(X: Any, y: Any, folds: FixedFolds) -> Iterator[str]:
    """Rows with a calendar, judged by models that were trained on later ones."""
    index = next((part.index for part in (X, y) if hasattr(part, "index") and not callable(part.index)), None)
    if index is None or getattr(getattr(index, "dtype", None), "kind", "") != "M":
        return
    times = np.asarray(index)
    late = sum(bool(times[np.asarray(train)].max() > times[np.asarray(held)].min()) for train, held in folds.splits)
    if late:
        yield (
            f"the rows have dates, and {late} of {len(folds.splits)} folds train on rows later than some that judge"
            " them, which tomorrow's rows will not be; cv=TimeSeriesSplit() keeps to the order"
        )
