"""Any of Optuna's pruners (Akiba et al. 2019), by name or as the object itself.

Optuna decides on a study, so there is one in memory that holds what was told. A judge takes its trials along and builds
a study of them where the point is evaluated: a running trial there reports and asks as in Optuna itself. What a pruner
noted on the trials it looked at (the rungs they completed) goes with them.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bilevel.contracts.pruner import Judge, Pruner
from bilevel.errors import OptionError
from bilevel.registry import register
from bilevel.solvers.pruners.curves import Curve, CurveJudge, Curves

if TYPE_CHECKING:
    from bilevel.language.trials.trial import Reports
    from bilevel.upper.archive import Evaluation

_STUDY = "bilevel"  # hyperband shares points out by a hash of the study's name


@register("optuna")
class OptunaPruner(Pruner):
    """Any of Optuna's pruners: pruner="WilcoxonPruner", "patient", "threshold" or the object itself.

    Parameters
    ----------
    kind : str or object
        The name of a class in ``optuna.pruners``, with or without ``Pruner``, or one of its instances.
    **options
        Those of the class.

    Notes
    -----
    Take it when you know and want one of Optuna's pruners; ``median``, ``halving`` and ``hyperband`` need no Optuna.
    """

    def __init__(self, sense: int, seed: int = 0, *, kind: Any = "median", **options: Any) -> None:
        self._pruner = _made(kind, options) if isinstance(kind, str) else copy.deepcopy(kind)  # they learn
        if not callable(getattr(self._pruner, "prune", None)):
            raise OptionError(f"pruner={kind!r}: it is a name, or an instance of a class in optuna.pruners")
        self._curves = Curves(sense)
        self._study = _study(self._pruner)

    def tell(self, evaluation: Evaluation) -> None:
        if self._curves.tell(evaluation):
            curve = self._curves.told[-1]
            trial = _running(self._study)
            for step, value in zip(curve.steps, curve.values, strict=True):
                trial.report(value, int(step))
                if trial.should_prune() and not curve.complete:
                    break  # what it notes on the trial is what counts
            _finish(self._study, trial, curve)

    def judge(self, number: int) -> Judge:
        trials = tuple(self._study.get_trials(deepcopy=False))
        return _OptunaJudge(self._curves.sense, self._curves.told, self._pruner, trials)


@dataclass(frozen=True)
class _OptunaJudge(CurveJudge):
    pruner: Any
    trials: tuple[Any, ...]
    _under_way: list[Any] = field(default_factory=list, compare=False)  # study, trial, reports seen, decision

    def prunes(self, reports: Reports) -> bool:
        if not self._under_way:
            study = _study(self.pruner, self.trials)
            self._under_way[:] = [study, _running(study), 0, False]
        _, trial, seen, _ = self._under_way
        for step, value in reports[seen:]:
            trial.report(self.sense * value, int(step))
        if len(reports) > seen:
            self._under_way[2:] = [len(reports), bool(trial.should_prune())]
        decision: bool = self._under_way[3]
        return decision

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_under_way": []}


def _study(pruner: Any, trials: Iterable[Any] = ()) -> Any:
    """A study in memory that holds these trials."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(study_name=_STUDY, pruner=pruner)
        study.add_trials(trials)
        return study
    finally:
        optuna.logging.set_verbosity(level)


def _running(study: Any) -> Any:
    """A trial of it that is under way; no sampler is asked."""
    import optuna

    template = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING)
    return optuna.trial.Trial(study, study._storage.create_new_trial(study._study_id, template_trial=template))


def _finish(study: Any, trial: Any, curve: Curve) -> None:
    """End it as its point ended."""
    import optuna

    state = optuna.trial.TrialState.COMPLETE if curve.complete else optuna.trial.TrialState.PRUNED
    study.tell(trial, curve.cost if curve.complete else None, state=state)


def _made(name: str, options: dict[str, Any]) -> Any:
    """An instance by a name, as a user may write it."""
    from optuna import pruners
    from optuna.exceptions import ExperimentalWarning

    classes = {n: getattr(pruners, n) for n in dir(pruners) if n.endswith("Pruner") and n != "BasePruner"}
    short = {n.removesuffix("Pruner").lower(): n for n in classes}
    chosen = name if name in classes else short.get(name.replace("_", "").lower())
    if chosen is None:
        raise OptionError(f"pruner={name!r}: Optuna has {', '.join(classes)}")
    known = inspect.signature(classes[chosen].__init__).parameters
    needed = [p.name for p in list(known.values())[1:] if p.default is p.empty and p.name not in options]
    needed = [n for n in needed if n not in ("args", "kwargs")]
    if chosen == "PatientPruner" and "wrapped_pruner" not in options:
        options, needed = {"wrapped_pruner": None, **options}, [n for n in needed if n != "wrapped_pruner"]
    if needed:
        raise OptionError(f"pruner={name!r} needs {', '.join(needed)}: write pruner='{name}({needed[0]}=...)'")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # whoever names one knows what it is
            return classes[chosen](**options)
    except (TypeError, ValueError) as error:
        raise OptionError(f"pruner={name!r}: {error}") from None
