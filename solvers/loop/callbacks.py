"""Callbacks in Optuna's manner, ``callback(study, trial)``, called with every outcome that the run brings.

MLflow's, Weights & Biases' and what users wrote for ``study.optimize``. Where the run keeps no study they see one in
memory, of which the search knows nothing: its history is that of a run without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bilevel import registry
from bilevel.contracts.observer import Observer
from bilevel.contracts.storage import Kept, Storage
from bilevel.solvers.loop.study import NoStudy, Study
from bilevel.upper.archive import Archive
from bilevel.upper.space import Space

Callback = Callable[[Any, Any], object]


class Calling(Observer):
    """Calls, and lets another observer see all.

    Parameters
    ----------
    callbacks : sequence of callable
        Called in their order. ``study.stop()`` in one ends the run, as an interrupt does.
    observer : Observer
        Sees all as well.
    study : NoStudy
        The run's own, which has begun.
    identity : dict of str to str
        Of the run.
    space, senses
        Of its points and of its objectives.
    """

    def __init__(
        self,
        callbacks: Sequence[Callback],
        observer: Observer,
        study: NoStudy,
        identity: Mapping[str, str],
        space: Space,
        senses: Sequence[int],
    ) -> None:
        self._callbacks, self._observer = callbacks, observer
        self._known = set(study.evaluations)
        self._told = 0
        self._writes = not study.kept
        self._own = study if isinstance(study, Study) else Study(_in_memory(identity), "memory")
        if self._writes:
            self._own.begin(identity, 1, space, senses)
        self._study: Any = self._own.kept_at.study()

    def evaluated(self, archive: Archive) -> None:
        """Call for each outcome that is new."""
        new = archive.evaluations[self._told :]
        self._told = len(archive)
        for evaluation in new:
            if evaluation.index in self._known:
                continue
            if self._writes:
                self._own.add([evaluation])
            trial = self._own.frozen(evaluation)
            for callback in self._callbacks:
                callback(self._study, trial)
        self._observer.evaluated(archive)
        if self._study._stop_flag:
            raise KeyboardInterrupt

    def at_work(self, busy: int, workers: int) -> None:
        """See :class:`bilevel.contracts.observer.Observer`."""
        self._observer.at_work(busy, workers)

    def said(self, message: str) -> None:
        """See :class:`bilevel.contracts.observer.Observer`."""
        self._observer.said(message)


def _in_memory(identity: Mapping[str, str]) -> Kept:
    return registry.get(Storage, "optuna")().open(None, identity.get("method", "bilevel"))
