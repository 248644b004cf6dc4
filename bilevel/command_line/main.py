"""The command line: ``python -m bilevel.solve model.py``, or ``bilevel model.py`` where the package is installed.

Exit codes: 0 where there is a verified point, 1 where there is none, 2 where the model or the call is wrong (one line
on standard error), 130 after an interrupt, with all that was found reported. Help and lists import neither Pyomo nor
CasADi.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import inspect
import io
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from bilevel.command_line import studies
from bilevel.command_line.listing import show_list
from bilevel.command_line.parser import make_parser
from bilevel.command_line.points import read_points
from bilevel.command_line.terminal import FOUND, INTERRUPTED, NONE_FOUND, WRONG, despite_a_broken_pipe
from bilevel.contracts.observer import Observer
from bilevel.errors import BilevelError, OptionError
from bilevel.files.arguments import convert
from bilevel.files.model_files import load_model
from bilevel.language.attitude import Attitude

if TYPE_CHECKING:
    from bilevel.results.comparison import Comparison
    from bilevel.results.result import Result


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process where none are given.

    Returns
    -------
    int
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a variable's name may be in Greek where the pipe is not
    words = sys.argv[1:] if argv is None else argv
    try:
        code = studies.main(words[1:]) if words[:1] == ["study"] else _run(argv)
    except SystemExit as stop:  # argparse's: help, version, a wrong option
        code = stop.code if isinstance(stop.code, int) else WRONG
    despite_a_broken_pipe(lambda: sys.stdout.flush())
    return code


def _run(argv: Sequence[str] | None) -> int:
    parser = make_parser()
    arguments = parser.parse_args(argv)
    arguments.command = shlex.join(["python", "-m", "bilevel.solve", *(sys.argv[1:] if argv is None else argv)])
    if arguments.model is None and not arguments.list:
        parser.error("name a model: a Python file, or one of the gallery (--list shows them)")
    try:
        return show_list(arguments) if arguments.list else _solve(arguments)
    except BilevelError as error:
        if arguments.debug:
            traceback.print_exc()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("interrupted before anything was found", file=sys.stderr)
        return INTERRUPTED


def _solve(arguments: argparse.Namespace) -> int:
    """Load, solve or compare, report, write."""
    _insist_on_places(arguments)
    model = _loaded(arguments)
    if arguments.explain or arguments.write is not None:
        return _look(arguments, model)
    from bilevel.api.comparing import compare  # late: the errors above need not wait for what these import
    from bilevel.api.solving import solve
    from bilevel.reading.problem import Problem
    from bilevel.reading.several.objectives import has_several
    from bilevel.results.text import show

    # Read once: what the transcript says of the model and what is solved are the same.
    several = has_several(model)
    subject = model if arguments.compare or several else Problem.read(model, arguments.attitude)
    common = {
        "budget": arguments.budget,
        "seed": arguments.seed,
        "time_limit": arguments.time_limit,
        "complementarity": arguments.complementarity,
        "engine": arguments.engine,
        "allow_nonconvex": arguments.allow_nonconvex,
        "attitude": arguments.attitude,
        "workers": arguments.workers,
        "study": arguments.study,
        "enqueue": [point for file in arguments.enqueue for point in read_points("--try", file)],
        "evaluation_time_limit": arguments.evaluation_time_limit,
        "pruner": arguments.pruner,
        "repeats": arguments.repeats,
        "top": arguments.top,
        "observer": _observer(arguments, subject, several),
    }
    asked, methods = _asked(arguments), arguments.compare or [arguments.method or "auto"]
    common |= _options(arguments, methods)
    outcome: Result | Comparison
    if arguments.compare:
        if arguments.shared:
            raise OptionError("--shared is of one method; start a driver for each that is to work on the study")
        outcome = table = compare(model, methods, **common)
        results, interrupted = table.results, table.interrupted
    else:
        outcome = result = solve(subject, methods[0], shared=arguments.shared, **common)
        results, interrupted = [result], result.termination == "interrupted"
    if arguments.json != "-":
        despite_a_broken_pipe(lambda: show(outcome.told(asked)))
    _write(arguments, outcome)
    if interrupted:
        return INTERRUPTED
    return FOUND if any(result.verdict.holds_a_point for result in results) else NONE_FOUND


def _loaded(arguments: argparse.Namespace) -> Any:
    """The model, and the modules that solving takes: nothing of it is garbage, and to look for some takes its time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        model = load_model(arguments.model, dict(arguments.set))
        importlib.import_module("bilevel.api.comparing")
    finally:
        if collects:
            gc.enable()
    return model


def _look(arguments: argparse.Namespace, model: Any) -> int:
    """Explain the model, write its single-level form; nothing is solved."""
    from bilevel.api import explaining
    from bilevel.files import mps_aux, single_level_files

    if arguments.explain:
        text = explaining.explain(model, arguments.complementarity)
        despite_a_broken_pipe(lambda: print(text))
    if arguments.write is not None and mps_aux.is_auxiliary(arguments.write):
        mps_aux.write_mps_aux(model, arguments.write)
        print(f"wrote {arguments.write}: both levels, and the rows and columns beside it as .mps", file=sys.stderr)
    elif arguments.write is not None:
        print(single_level_files.write(model, arguments.write, arguments.complementarity), file=sys.stderr)
    return FOUND


def _observer(arguments: argparse.Namespace, subject: Any, several: bool) -> Observer:
    """Who watches: nobody, a progress line, or a transcript that begins with what was recognised."""
    if arguments.quiet:
        return Observer()
    if not arguments.verbose:
        from bilevel.results.progress import ProgressLine

        return ProgressLine()
    from bilevel.api.explaining import recognised
    from bilevel.results.transcript import Transcript

    story = Transcript()
    story.preface(iter(["several upper objectives: their front"]) if several else recognised(subject))
    return story


def _insist_on_places(arguments: argparse.Namespace) -> None:
    """Find out now, and not after an hour's work, that a file cannot be written."""
    for option in ("--json", "--plot", "--report", "--write"):
        path = getattr(arguments, option[2:])
        if path not in (None, "-") and not FilePath(path).absolute().parent.is_dir():
            raise OptionError(f"{option} {path}: there is no folder {FilePath(path).parent}; create it first")
        if path is not None and FilePath(path).is_dir():
            raise OptionError(f"{option} {path} is a folder; name a file")
    if arguments.report is not None and FilePath(arguments.report).suffix.lower() not in (".html", ".htm"):
        raise OptionError(f"--report {arguments.report}: it is written as HTML; end its name in .html")
    if arguments.plot is not None:
        from bilevel.results.plots.incumbents import check_format

        check_format(arguments.plot)


def _options(arguments: argparse.Namespace, methods: Sequence[str]) -> dict[str, Any]:
    """The methods' own options, each as the type that the method's parameter says."""
    from bilevel.api.fronts.solving_fronts import OWN
    from bilevel.api.options import options_of
    from bilevel.api.solving import solve

    if not arguments.option:
        return {}
    known: dict[str, inspect.Parameter] = dict(OWN)
    for method in methods:
        known = {**options_of(method), **known}
    general = inspect.signature(solve).parameters
    for name, value in arguments.option:
        if name in general and name != "options":
            raise OptionError(f"--option {name}={value}: {name} is for every method; write --{name.replace('_', '-')}")
    try:
        return {name: convert(value, known.get(name)) for name, value in arguments.option}
    except ValueError as error:
        raise OptionError(f"--option {error}") from error


def _write(arguments: argparse.Namespace, outcome: Result | Comparison) -> None:
    if arguments.json == "-":
        despite_a_broken_pipe(lambda: print(outcome.to_json()))
    try:
        if arguments.json not in (None, "-"):
            outcome.to_json(arguments.json)
        if arguments.plot is not None:
            from bilevel.results.plots.comparison import plot_comparison
            from bilevel.results.result import Result

            if type(outcome) is Result and not outcome.space:  # a level, where there is no curve
                plot_comparison([outcome], arguments.plot)
            else:
                outcome.plot(arguments.plot)
        if arguments.report is not None:
            outcome.report(arguments.report, _asked(arguments), arguments.command)
    except OSError as error:
        raise OptionError(f"{error.filename} cannot be written: {error.strerror}; choose another place") from error


def _asked(arguments: argparse.Namespace) -> str:
    """What was asked, in one line."""
    settings = ", ".join(f"{name}={value}" for name, value in arguments.set)
    parts = [f"{arguments.model} ({settings})" if settings else str(arguments.model)]
    if not arguments.compare:
        parts.append(f"method {arguments.method or 'auto'}")
    parts += [f"budget {arguments.budget}"] if arguments.budget else []
    parts.append(f"seed {arguments.seed}")
    parts += [f"time limit {arguments.time_limit:g} s"] if arguments.time_limit else []
    parts += [f"{arguments.workers} workers"] if arguments.workers != 1 else []
    parts += [f"study {arguments.study}"] if arguments.study else []
    parts += [f"pruner {arguments.pruner}"] if arguments.pruner else []
    parts += [f"{arguments.repeats} repeats"] if arguments.repeats > 1 else []
    for name in ("complementarity", "engine"):
        parts += [f"{name} {getattr(arguments, name)}"] if getattr(arguments, name) != "auto" else []
    parts += ["nonconvex allowed"] if arguments.allow_nonconvex else []
    parts += [arguments.attitude] if arguments.attitude != Attitude.OPTIMISTIC else []
    return ", ".join([*parts, *(f"{name}={value}" for name, value in arguments.option)])
