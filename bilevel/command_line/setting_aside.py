"""Stored trials that count no more: left out of a study, or done again by the next run.

What a storage of Optuna's holds of a trial that ended can never be changed. So the study notes which do not count, and
Optuna's own tools go on to show them; a copy (``export`` to an address) holds them as failed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bilevel.command_line.opening import open_study
from bilevel.contracts.storage import Aside, Kept, State
from bilevel.errors import StudyError


def skip(study: str, numbers: Sequence[int]) -> list[int]:
    """Leave trials out of a study: in its history they are failed points from now on.

    Parameters
    ----------
    study : str
        The address, as ``study=`` takes it.
    numbers : sequence of int
        Of the trials, as Optuna and ``bilevel study export`` number them.

    Returns
    -------
    list of int
        Those that are left out now and were not before.

    Raises
    ------
    StudyError
        If there is no such study or trial, or several drivers share it.
    """
    return _set_aside(study, Aside.SKIP, numbers, failed=False)


def redo(study: str, numbers: Sequence[int] = (), *, failed: bool = False) -> list[int]:
    """Have the next run evaluate the points of some trials again, at their places in the history.

    Parameters
    ----------
    study : str
        The address, as ``study=`` takes it.
    numbers : sequence of int
        Of the trials.
    failed : bool
        All that failed as well: a function was mended, a machine had no memory.

    Returns
    -------
    list of int
        The trials that will be done again.

    Raises
    ------
    StudyError
        If there is no such study or trial, or several drivers share it.
    """
    return _set_aside(study, Aside.REDO, numbers, failed)


def _set_aside(study: str, what: Aside, numbers: Sequence[int], failed: bool) -> list[int]:
    kept = open_study(study, new=False)
    try:
        _insist_on_one_run(kept, study)
        storage = kept.optuna()
        own = next(s._study_id for s in storage.get_all_studies() if s.study_name == kept.name)
        trials = storage.get_all_trials(own, deepcopy=False)
        list(kept.trials())  # whoever writes has read what is there
        aside = dict(kept.attributes.get("aside", {}))
        wanted = set(numbers)
        for number in sorted(wanted):
            _insist_on_stored(number, len(trials), study)
            if what is Aside.REDO and not trials[number].state.is_finished():
                raise StudyError(f"{study}: trial {number} is not over; the next run evaluates it anyway")
        if failed:
            wanted |= {t.number for t in trials if State(t.state.name.lower()) is State.FAIL} - {int(n) for n in aside}
        found = [number for number in sorted(wanted) if aside.get(str(number)) != what]
        _insist_on_last(found, aside, study)
        aside |= {str(number): str(what) for number in found}
        kept.note(kept.attributes | {"aside": aside, "settled": False}, {"set_aside": sorted(map(int, aside))})
    finally:
        kept.close()
    return found


def _insist_on_one_run(kept: Kept, study: str) -> None:
    if kept.attributes.get("shared"):
        raise StudyError(
            f"{study} is shared by several drivers, each of which was told what it holds; export it to a .csv file, and"
            " import the trials you keep into another study"
        )
    if kept.attributes.get("identity", {}).get("method") == "pbt":
        raise StudyError(f"{study} is of a population, whose states go on from one another; begin another study")


def _insist_on_stored(number: int, count: int, study: str) -> None:
    if not 0 <= number < count:
        raise StudyError(f"{study} has no trial {number}; it has 0 to {count - 1}")


def _insist_on_last(numbers: Collection[int], aside: dict[str, str], study: str) -> None:
    done = [number for number in numbers if aside.get(str(number)) == Aside.REDO]
    if done:
        raise StudyError(f"{study}: trial {done[0]} is done again already; name the trial that came of it")
