"""Population-based training: x changes while functions are trained, and the answer is a schedule of x.

Jaderberg et al. (2017), *Population based training of neural networks*, arXiv:1711.09846. A population trains side by
side. Every ``interval`` steps those who do worst take over the state and x of those who do best (exploit) and move x
(explore); the cost is that of as many whole trainings as there are members. What is reported was trained once more, leg
by leg, by the winner's schedule.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path as FilePath
from typing import Any, ClassVar

import numpy as np

from bilevel import registry
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.search import Search
from bilevel.contracts.settings import Settings
from bilevel.errors import OptionError, RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.response.response import Response
from bilevel.solvers.loop.callbacks import Calling
from bilevel.solvers.loop.crews.hiring import crew_for, where_of
from bilevel.solvers.loop.given_points import point_of
from bilevel.solvers.loop.granted_gradients import Gradients
from bilevel.solvers.loop.identity import identity_of
from bilevel.solvers.loop.studies import study_at
from bilevel.solvers.population.selection import Member, Selection
from bilevel.solvers.population.training import Training
from bilevel.upper.space import Space

_POPULATION = 20  # where no budget is given
_LEGS = 10  # where no interval is given
_DEFAULTS = {"replaced": 0.3, "spread": 0.2}  # more than the paper's, whose populations are larger


@register("pbt")
class PopulationBasedTraining(Path):
    """Population-based training: x moves while functions train on from states; the answer is a schedule of x.

    Notes
    -----
    Take it when a training can go on from a state and x should change on the way, as a learning rate does; where one
    x is to hold from the first step to the last, take one of the searches behind ``search``, with a pruner.
    """

    pessimistic = True
    conditions = True
    losses = True
    evaluates = True
    options: ClassVar[Mapping[str, type]] = {"interval": int, "replaced": float, "spread": float, "folder": str}

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        steps, followers = _whole(problem)
        _insist(settings)
        legs = _legs(steps, settings.options.get("interval"))
        compilation = Compilation.of(problem)
        space, where = Space(compilation), where_of(settings)
        rng = np.random.default_rng(settings.seed)
        with _kept(settings) as (address, folder):
            study = study_at(address)
            try:
                space.start = study.start(space.start)
                identity = identity_of(compilation, space, self.name, _plain(settings, steps)) if study.kept else {}
                study.begin(identity, 1, space, [problem.sense])
                folder = _own_folder(folder, identity)
                response = partial(Response, problem, compilation=compilation, warm=False)
                crew = crew_for(compilation, response, space, where, Gradients.NONE, study, apart=True)
                if settings.callbacks:
                    named = identity or {"method": self.name, "seed": str(settings.seed)}
                    observer = Calling(settings.callbacks, observer, study, named, space, [problem.sense])
                training = Training(space, crew, study, observer, folder, followers, settings.seed)
                shares = [settings.options.get(name, value) for name, value in _DEFAULTS.items()]
                selection = Selection(space, rng, *shares)
                termination = training.until(_first(space, settings, rng), legs, selection)
            finally:
                study.close()
            return _found(training, termination, legs, folder if address is not None else None)


def _whole(problem: Problem) -> tuple[int, list[str]]:
    """The steps of a whole training, and the followers that are trained.

    Raises
    ------
    RefusedError
        If there are none, or not as many of each.
    """
    trained = {f.name: f.steps for f in problem.followers if f.response is not None and f.steps}
    if not trained:
        raise RefusedError(
            "pbt goes on from states, and no follower has one; declare LowerLevel(response=f, steps=N) with"
            " f(x, state, steps) -> (values, state), or take method='random' with a pruner"
        )
    if len(set(trained.values())) > 1:
        told = ", ".join(f"{name}: {steps}" for name, steps in trained.items())
        raise RefusedError(f"pbt trains all followers side by side, and their steps differ ({told}); give all the same")
    return next(iter(trained.values())), list(trained)


def _insist(settings: Settings) -> None:
    """Insist that what was asked for goes with it."""
    if settings.pruner is not None:
        raise OptionError("pbt decides itself who goes on; leave pruner out")
    if settings.repeats > 1 or settings.top is not None:
        raise OptionError("pbt trains every member once, from state to state; leave repeats and top out")
    for name, least, most in (("replaced", 0.0, 0.5), ("spread", 0.0, 1.0)):
        value = settings.options.get(name, _DEFAULTS[name])
        if not least < value <= most:
            raise OptionError(f"{name}={value}: a share above {least:g}, {most:g} at most, is needed")
    elsewhere = settings.executor is not None or isinstance(settings.workers, str)
    if elsewhere and settings.options.get("folder") is None:
        raise OptionError("pbt hands states on in a folder; with workers elsewhere name one that they see: folder=...")


def _legs(steps: int, interval: int | None) -> list[int]:
    """The steps of each leg; the last one may be shorter."""
    if interval is not None and not 0 < interval <= steps:
        raise OptionError(f"interval={interval}: from 1 to {steps}, the steps of a whole training")
    each = -(-steps // _LEGS) if interval is None else interval
    return [min(each, steps - done) for done in range(0, steps, each)]


def _plain(settings: Settings, steps: int) -> Settings:
    """With what makes a difference to a run, steps and population, and without what makes none: where states lie."""
    kept = {name: value for name, value in settings.options.items() if name != "folder"}
    return replace(settings, options={**kept, "steps": steps, "population": settings.budget or _POPULATION})


def _own_folder(folder: FilePath, identity: Mapping[str, str]) -> FilePath:
    """Where this run's states lie, and no other's that keeps its own in the same folder."""
    own = folder / hashlib.sha256(repr(sorted(identity.items())).encode()).hexdigest()[:8]
    own.mkdir(exist_ok=True)
    return own


@contextmanager
def _kept(settings: Settings) -> Iterator[tuple[object, FilePath]]:
    """The study's address and the folder of states: beside the study, in the folder given, or for this run alone."""
    given, study = settings.options.get("folder"), settings.study
    if given is None and study is None:
        with tempfile.TemporaryDirectory(prefix="bilevel-states-") as folder:
            yield None, FilePath(folder)
        return
    if given is None:
        name = study.partition("#")[0] if isinstance(study, str) else ""
        if not name or "://" in name.replace("sqlite:///", ""):
            raise OptionError("pbt keeps states in files, and this study has no place for them: name one, folder=...")
        given = name.removeprefix("sqlite:///") + ".states"
    place = FilePath(given).resolve()
    place.mkdir(parents=True, exist_ok=True)
    yield (str(place / "study.log") if study is None else study), place


def _first(space: Space, settings: Settings, rng: np.random.Generator) -> list[Member]:
    """The first generation: points given, the user's start, a scrambled Sobol sequence; again where there are fewer."""
    size = settings.budget or _POPULATION
    points = [point_of(values, space) for values in settings.enqueue]
    points += [] if space.start is None else [space.start]
    sobol: Any = registry.get(Search, "random")
    points += sobol(space, rng, None, sampling="sobol").ask(size)
    points = list(dict.fromkeys(points))
    return [Member(points[k % len(points)]) for k in range(size)] if points else []


def _found(training: Training, termination: Termination, legs: list[int], folder: FilePath | None) -> Finding:
    best, archive = training.best, training.archive
    finding = Finding(termination, Verdict.FAILED if best is None else Verdict.BEST_FOUND, archive=archive)
    if training.replayed:
        finding.notes.append(f"{training.replayed} of {len(archive)} legs come from the study")
    if best is None:
        reasons = {evaluation.message for evaluation in archive if not evaluation.answered}
        finding.notes.append(f"no member came to a feasible point: {'; '.join(sorted(reasons)[:3]) or 'coupling'}")
        return finding
    finding.upper, finding.lower = best.upper, best.lower
    finding.schedule = training.schedule(best.index, legs)
    done, whole = finding.schedule[-1]["after"], sum(legs)
    finding.notes.append(
        f"x may change on the way: the values are the last of the winner's schedule (result.schedule), {done} of"
        f" {whole} steps; the work was that of {len(archive) / len(legs):.3g} whole trainings"
    )
    if folder is not None:
        finding.notes.append(f"states are in {folder}; the winner's is number {best.index}")
    return finding
