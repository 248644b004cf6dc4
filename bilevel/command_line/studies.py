"""``bilevel study list | show | export | import | enqueue | skip | redo``: what is in a study, and what goes into one.

A study is Optuna's, so that Optuna's own programs do all of this too; here it takes the addresses of ``--study``.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

from bilevel.command_line.opening import open_study
from bilevel.command_line.points import read_points, read_trials, write_trials
from bilevel.command_line.setting_aside import redo, skip
from bilevel.command_line.terminal import FOUND, WRONG, despite_a_broken_pipe
from bilevel.contracts.storage import Aside, Kept, State, Trial
from bilevel.errors import BilevelError, OptionError, StudyError

_HELP = "study.log, sqlite:///study.db, postgresql://..., mysql://..., grpc://host:port; #name names one of several"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = make_study_parser().parse_args(argv)
    try:
        lines = arguments.run(arguments)
    except BilevelError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG
    despite_a_broken_pipe(lambda: print("\n".join(lines)))
    return FOUND


def make_study_parser() -> argparse.ArgumentParser:
    """Its commands, each with what it needs."""
    parser = argparse.ArgumentParser(prog="bilevel study", description="Studies of searches: Optuna's, by address.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, words: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        made.add_argument("study", help=_HELP)
        made.set_defaults(run=run)
        return made

    command("list", _list, "the studies at an address")
    command("show", _show, "what one study holds")
    into = command("export", _export, "write a study's trials elsewhere")
    into.add_argument("to", help="a file (.csv, .json), or the address of another study")
    source = command("import", _import, "take trials into a study, which a search then begins with")
    source.add_argument("source", help="a file (.csv, .json) as export writes it, or the address of another study")
    source.add_argument("--maximize", action="store_true", help="values of a file are the better the greater")
    waits = command("enqueue", _enqueue, "let points wait in a study for the next search that goes on with it")
    waits.add_argument("points", help="a JSON file with a point, values by name, or a list of them")
    waits.add_argument("--maximize", action="store_true", help="of a study that is not there yet")
    left = command("skip", _skip, "leave trials out: failed points from now on")
    left.add_argument("numbers", type=int, nargs="+", help="of the trials")
    again = command("redo", _redo, "have the next run evaluate the points of some trials again")
    again.add_argument("numbers", type=int, nargs="*", help="of the trials")
    again.add_argument("--failed", action="store_true", help="all that failed")
    return parser


def _list(arguments: argparse.Namespace) -> list[str]:
    kept = open_study(arguments.study, new=False, any_name=True)
    try:
        storage = kept.optuna()
        found = [
            (s.study_name, len(storage.get_all_trials(s._study_id, deepcopy=False))) for s in storage.get_all_studies()
        ]
    finally:
        kept.close()
    return [f"{name}: {count} trials" for name, count in found]


def _show(arguments: argparse.Namespace) -> list[str]:
    kept = open_study(arguments.study, new=False)
    try:
        trials, maximised = _trials(kept), _maximised(kept)
        noted = dict(kept.attributes.get("identity", {}))
    finally:
        kept.close()
    counts = Counter(str(trial.state) for trial in trials)
    lines = [f"trials    {len(trials)}: {', '.join(f'{n} {state}' for state, n in sorted(counts.items()))}"]
    lines += [f"{name:9} {noted[name]}" for name in ("method", "seed", "options", "attitude") if name in noted]
    good = [t for t in trials if t.state is State.COMPLETE and len(t.values) == 1 and max([0.0, *t.constraints]) <= 0.0]
    if good:
        best = (max if maximised else min)(good, key=lambda trial: trial.values[0])
        lines += [f"best F    {best.values[0]:.10g}, trial {best.number}, {'maximised' if maximised else 'minimised'}"]
        lines += [f"  {name} = {value}" for name, value in best.parameters.items()]
    reasons = Counter(str(t.notes["reason"]) for t in trials if t.state is State.FAIL and "reason" in t.notes)
    lines += [f"failed    {count}: {reason}" for reason, count in reasons.most_common(5)]
    return lines


def _export(arguments: argparse.Namespace) -> list[str]:
    kept = open_study(arguments.study, new=False)
    try:
        if Path(arguments.to).suffix.lower() in (".csv", ".json"):
            trials = _trials(kept)
            write_trials(Path(arguments.to), trials)
            return [f"{len(trials)} trials written to {arguments.to}"]
        return _copy(kept, arguments.to)
    finally:
        kept.close()


def _import(arguments: argparse.Namespace) -> list[str]:
    if Path(arguments.source).suffix.lower() not in (".csv", ".json"):
        source = open_study(arguments.source, new=False)
        try:
            return _copy(source, arguments.study)
        finally:
            source.close()
    trials = read_trials(Path(arguments.source))
    kept = open_study(arguments.study, new=True)
    try:
        kept.create([arguments.maximize], ())
        kept.take(trials)
    finally:
        kept.close()
    return [f"{len(trials)} trials taken into {arguments.study}"]


def _enqueue(arguments: argparse.Namespace) -> list[str]:
    points = read_points("enqueue", arguments.points)
    kept = open_study(arguments.study, new=True)
    try:
        kept.create([arguments.maximize], ())
        for point in points:
            kept.enqueue(point)
    finally:
        kept.close()
    return [f"{len(points)} points wait in {arguments.study}"]


def _skip(arguments: argparse.Namespace) -> list[str]:
    return [f"{_numbered(skip(arguments.study, arguments.numbers))} left out of {arguments.study}"]


def _redo(arguments: argparse.Namespace) -> list[str]:
    if not (arguments.numbers or arguments.failed):
        raise OptionError("redo: name trials by their numbers, or say --failed")
    found = redo(arguments.study, arguments.numbers, failed=arguments.failed)
    return [f"{_numbered(found)} to be done again by the next run of {arguments.study}"]


def _numbered(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers))
    return "no trial is" if not numbers else f"trial {named} is" if len(numbers) == 1 else f"trials {named} are"


def _copy(source: Kept, address: str) -> list[str]:
    """Every trial, and what this package noted, so that a search goes on from the copy as from the first."""
    found, directions = _frozen(source), _study(source).directions
    target = open_study(address, new=True)
    try:
        if list(target.trials()) or target.attributes:
            raise StudyError(f"{address} holds a study already; give the copy a name of its own: {address}#copy")
        target.create([direction.name == "MAXIMIZE" for direction in directions], ())
        if source.attributes:  # before the trials: whoever writes after another's would take them for a run's
            target.note(source.attributes, _study(source).user_attrs)
        storage, own = target.optuna(), _study(target)._study_id
        for trial in found:
            storage.create_new_trial(own, _as_it_counts(trial, source))
    finally:
        target.close()
    return [f"{len(found)} trials copied to {address}"]


def _as_it_counts(trial: Any, source: Kept) -> Any:
    """A trial as a copy holds it: one that is set aside failed, so that Optuna's tools leave it out as well."""
    if str(trial.number) not in source.attributes.get("aside", {}) or not trial.state.is_finished():
        return trial
    found = copy(trial)
    found.state, found.values = type(trial.state).FAIL, None
    return found


def _study(kept: Kept) -> Any:
    """Optuna's record of the study itself."""
    return next(study for study in kept.optuna().get_all_studies() if study.study_name == kept.name)


def _frozen(kept: Kept) -> list[Any]:
    found: list[Any] = kept.optuna().get_all_trials(_study(kept)._study_id, deepcopy=False)
    return found


def _maximised(kept: Kept) -> bool:
    return bool(_study(kept).directions[0].name == "MAXIMIZE")


def _trials(kept: Kept) -> list[Trial]:
    """All of them, with what others see; those that are set aside as failed."""
    aside = kept.attributes.get("aside", {})
    found = _every_trial(kept)
    for trial in found:
        if (said := aside.get(str(trial.number))) is not None:
            trial.state, trial.values = State.FAIL, ()
            trial.notes = trial.notes | {"reason": "left out" if said == Aside.SKIP else "done again"}
    return found


def _every_trial(kept: Kept) -> list[Trial]:
    return [
        Trial(
            dict(f.params) or dict(f.system_attrs.get("fixed_params", {})),
            State(f.state.name.lower()),
            tuple(f.values or ()),
            tuple(f.system_attrs.get("constraints", ())),
            seconds=f.duration.total_seconds() if f.duration else 0.0,
            notes=dict(f.user_attrs),
            number=f.number,
        )
        for f in _frozen(kept)
    ]
