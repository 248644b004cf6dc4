"""The command line: ``python -m bilevel.solve model.py``, or ``bilevel model.py`` where the package is installed.

Exit codes: 0 where there is a verified point, 1 where there is none, 2 where the model or the call is wrong (one line
on standard error), 130 after an interrupt, with all that was found reported. Help and lists import neither Pyomo nor
CasADi.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import os
import shlex
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NoReturn

import bilevel
from bilevel.contracts.engine import Engine, Observer, Part, Path, Search, Treatment
from bilevel.errors import BilevelError, OptionError
from bilevel.files.model_files import convert, gallery, load_model
from bilevel.language.attitude import Attitude
from bilevel.registry import catalogue

if TYPE_CHECKING:
    from bilevel.results.comparison import Comparison
    from bilevel.results.result import Result

FOUND, NONE_FOUND, WRONG, INTERRUPTED = 0, 1, 2, 130
_LOOP = "search"  # the path behind every search: not a method of its own
_EXAMPLES = """\
examples
  python -m bilevel.solve toy                               a model of the gallery, the method chosen for it
  python -m bilevel.solve model.py --method gp --budget 60 --seed 1
  python -m bilevel.solve model.py --method surrogate --workers 2 --study sqlite:///study.db
  python -m bilevel.solve ridge --compare kkt,gp,random --budget 60 --plot ridge.png
"""


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
    try:
        code = _run(argv)
    except SystemExit as stop:  # argparse's: help, version, a wrong option
        code = stop.code if isinstance(stop.code, int) else WRONG
    _despite_a_broken_pipe(lambda: sys.stdout.flush())
    return code


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    arguments.command = shlex.join(["python", "-m", "bilevel.solve", *(sys.argv[1:] if argv is None else argv)])
    if arguments.model is None and not arguments.list:
        parser.error("name a model: a Python file, or one of the gallery (--list shows them)")
    try:
        return _list(arguments) if arguments.list else _solve(arguments)
    except BilevelError as error:
        if arguments.debug:
            traceback.print_exc()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("interrupted before anything was found", file=sys.stderr)
        return INTERRUPTED


def _despite_a_broken_pipe(write: Callable[[], object]) -> None:
    """Write to standard output; a reader who left (``| head``) is no error, and what is left to do is still done."""
    try:
        write()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _solve(arguments: argparse.Namespace) -> int:
    """Load, solve or compare, report, write."""
    _insist_on_places(arguments)
    model = load_model(arguments.model, dict(arguments.set))
    if arguments.explain or arguments.write is not None:
        return _look(arguments, model)
    from bilevel.api import solving  # late: the errors above need not wait for what these import
    from bilevel.results import comparison  # late: the errors above need not wait for what these import
    from bilevel.results import text as report

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
        "observer": _observer(arguments, model),
    }
    asked, methods = _asked(arguments), arguments.compare or [arguments.method or "auto"]
    common |= _options(arguments, methods)
    outcome: Result | Comparison
    if arguments.compare:
        outcome = table = comparison.compare(model, methods, **common)
        results, interrupted, page = table.results, table.interrupted, report.comparison_report(table, asked)
    else:
        outcome = result = solving.solve(model, methods[0], **common)
        results, interrupted, page = [result], result.termination == "interrupted", report.result_report(result, asked)
    if arguments.json != "-":
        _despite_a_broken_pipe(lambda: report.show(page))
    _write(arguments, outcome, results)
    if interrupted:
        return INTERRUPTED
    return FOUND if any(result.verdict.holds_a_point for result in results) else NONE_FOUND


def _look(arguments: argparse.Namespace, model: Any) -> int:
    """Explain the model, write its single-level form; nothing is solved."""
    from bilevel.api import explaining
    from bilevel.files import single_level_files

    if arguments.explain:
        text = explaining.explain(model, arguments.complementarity)
        _despite_a_broken_pipe(lambda: print(text))
    if arguments.write is not None:
        print(single_level_files.write(model, arguments.write, arguments.complementarity), file=sys.stderr)
    return FOUND


def _observer(arguments: argparse.Namespace, model: Any) -> Observer:
    """Who watches: nobody, a progress line, or a transcript that begins with what was recognised."""
    from bilevel.api import explaining
    from bilevel.results import text as report
    from bilevel.results import transcript

    if arguments.quiet:
        return Observer()
    if not arguments.verbose:
        return report.ProgressLine()
    story = transcript.Transcript()
    story.preface(explaining.recognised(model))
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
        from bilevel.results.plots.comparison import check_format

        check_format(arguments.plot)


def _options(arguments: argparse.Namespace, methods: Sequence[str]) -> dict[str, Any]:
    """The methods' own options, each as the type that the method's parameter says."""
    from bilevel.api import solving
    from bilevel.results import comparison

    known: dict[str, inspect.Parameter] = {}
    for method in methods:
        known = {**comparison.options_of(method), **known}
    general = inspect.signature(solving.solve).parameters
    for name, value in arguments.option:
        if name in general and name != "options":
            raise OptionError(f"--option {name}={value}: {name} is for every method; write --{name.replace('_', '-')}")
    try:
        return {name: convert(value, known.get(name)) for name, value in arguments.option}
    except ValueError as error:
        raise OptionError(f"--option {error}") from error


def _write(arguments: argparse.Namespace, outcome: Result | Comparison, results: list[Result]) -> None:
    if arguments.json == "-":
        _despite_a_broken_pipe(lambda: print(outcome.to_json()))
    try:
        if arguments.json not in (None, "-"):
            outcome.to_json(arguments.json)
        if arguments.plot is not None:
            from bilevel.results.plots.comparison import plot_comparison, plot_result

            if arguments.compare or not results[0].space:
                plot_comparison(results, arguments.plot)
            else:
                plot_result(results[0], arguments.plot)
        if arguments.report is not None:
            _write_page(arguments, outcome)
    except OSError as error:
        raise OptionError(f"{error.filename} cannot be written: {error.strerror}; choose another place") from error


def _write_page(arguments: argparse.Namespace, outcome: Result | Comparison) -> None:
    from bilevel.results.comparison import Comparison
    from bilevel.results.page import comparison_page, result_page

    asked, command = _asked(arguments), arguments.command
    if isinstance(outcome, Comparison):
        page = comparison_page(outcome, asked, command)
    else:
        page = result_page(outcome, asked, command)
    FilePath(arguments.report).write_text(page, encoding="utf-8")


def _asked(arguments: argparse.Namespace) -> str:
    """What was asked, in one line."""
    settings = ", ".join(f"{name}={value}" for name, value in arguments.set)
    parts = [f"{arguments.model} ({settings})" if settings else str(arguments.model)]
    if not arguments.compare:
        parts.append(f"method {arguments.method or 'auto'}")
    parts += [f"budget {arguments.budget}"] if arguments.budget else []
    parts.append(f"seed {arguments.seed}")
    parts += [f"time limit {arguments.time_limit:g} s"] if arguments.time_limit else []
    parts += [f"{arguments.workers} workers"] if arguments.workers > 1 else []
    parts += [f"study {arguments.study}"] if arguments.study else []
    for name in ("complementarity", "engine"):
        parts += [f"{name} {getattr(arguments, name)}"] if getattr(arguments, name) != "auto" else []
    parts += ["nonconvex allowed"] if arguments.allow_nonconvex else []
    parts += [arguments.attitude] if arguments.attitude != Attitude.OPTIMISTIC else []
    return ", ".join([*parts, *(f"{name}={value}" for name, value in arguments.option)])


def _list(arguments: argparse.Namespace) -> int:
    """Print all that can be named; with a model file, the parts that are registered in it as well."""
    if arguments.model is not None:
        load_model(arguments.model, dict(arguments.set))
    models = {name: _first_line(path) for name, path in gallery().items()}
    sections = [
        _section("models of the gallery", models),
        _section("methods (--method, --compare)", _methods()),
        _section("complementarity treatments (--complementarity)", _summaries(Treatment)),
        _section("engines (--engine)", _summaries(Engine)),
    ]
    _despite_a_broken_pipe(lambda: print("\n\n".join(sections)))
    return FOUND


def _first_line(path: FilePath) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _summaries(contract: type[Part]) -> dict[str, str]:
    return {entry.name: entry.summary for entry in catalogue(contract).values()}


def _methods() -> dict[str, str]:
    paths = {name: summary for name, summary in _summaries(Path).items() if name != _LOOP}
    return {"auto": "An exact method where one accepts the model, else a search.", **paths, **_summaries(Search)}


def _section(title: str, entries: Mapping[str, str]) -> str:
    """A title, and names with their summaries, wrapped to the terminal."""
    width = max(50, shutil.get_terminal_size((100, 24)).columns - 1)
    column = max(map(len, entries), default=0) + 4
    lines = [
        textwrap.fill(summary, width, initial_indent=f"  {name}".ljust(column), subsequent_indent=" " * column)
        for name, summary in entries.items()
    ]
    return "\n".join([title, *lines])


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a call, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"error: {message}; --help shows all options\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bilevel" if FilePath(sys.argv[0]).stem == "bilevel" else "python -m bilevel.solve",
        description="Solve a bilevel problem written in Pyomo, or compare methods on it.",
        epilog=f"{_section('methods', _methods())}\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("model", nargs="?", help="a Python file that holds `model` or `create_model(...)`, or a name of the gallery")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--method", metavar="NAME", help="one of those below; auto if nothing is said")
    which.add_argument("--compare", metavar="A,B,...", type=_names, help="several methods, side by side")
    add("--budget", metavar="N", type=_positive(int), help="largest number of upper points a search evaluates")
    add("--seed", metavar="N", type=_seed, default=0, help="of every random choice (default: 0)")
    add("--time-limit", metavar="SECONDS", type=_positive(float), help="for each method")
    add("--workers", metavar="N", type=_positive(int), default=1, help="processes that evaluate points (default: 1)")
    add("--study", metavar="URL", help="sqlite:///study.db: store every point a search tries, and go on from there")
    add("--set", metavar="NAME=VALUE", type=_pair, action="append", default=[], help="a setting of create_model")
    add("--option", metavar="NAME=VALUE", type=_pair, action="append", default=[], help="an option of the method")
    add("--complementarity", metavar="NAME", default="auto", help="treatment of the KKT path (--list)")
    add("--engine", metavar="NAME", default="auto", help="engine of the KKT path (--list)")
    add("--allow-nonconvex", action="store_true", help="go on without a proof of convexity, and without a certificate")
    which_optimum = "of several optima of the follower the leader's best (optimistic) or worst (pessimistic) counts"
    add("--attitude", choices=[str(a) for a in Attitude], default="optimistic", help=which_optimum)
    add("--json", metavar="FILE", help="write all that was found, the history included; - prints it instead")
    add("--plot", metavar="FILE", help="draw the search, or all that are compared (.png, .pdf, .svg)")
    add("--report", metavar="FILE", help="write all of it as one HTML page, with pictures")
    add("--explain", action="store_true", help="say what the model is, and solve nothing: levels, classes, pairs, rows")
    add("--write", metavar="FILE", help="write the single-level model (.lp, .nl, .mps), and solve nothing")
    add("--list", action="store_true", help="show the models and all that can be named here")
    heard = parser.add_mutually_exclusive_group()
    heard.add_argument("--quiet", action="store_true", help="the result alone, no progress line")
    heard.add_argument(
        "--verbose", action="store_true", help="what was recognised, what was decided, bounds as they move"
    )
    add("--debug", action="store_true", help="show the traceback of an error")
    add("--version", action="version", version=f"bilevel {bilevel.__version__}")
    return parser


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("name at least one method, as in --compare kkt,random")
    return names


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name.strip()):
        raise argparse.ArgumentTypeError(f"{text!r}: write it as name=value")
    return name.strip(), value.strip()


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(0)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text!r}: {'a whole' if kind is int else 'a'} number above 0 is needed")
        return value

    return read


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number, 0 or above, is needed")
    return int(text)
