"""The options of ``python -m bilevel.solve``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import NoReturn

from bilevel.command_line.listing import section
from bilevel.command_line.terminal import WRONG
from bilevel.language.attitude import Attitude
from bilevel.registry import methods
from bilevel.version import __version__

_EXAMPLES = """\
examples
  python -m bilevel.solve toy                               a model of the gallery, the method chosen for it
  python -m bilevel.solve model.py --method gp --budget 60 --seed 1
  python -m bilevel.solve model.py --method surrogate --workers 2 --study sqlite:///study.db
  python -m bilevel.solve ridge --compare kkt,gp,random --budget 60 --plot ridge.png
"""


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a call, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"error: {message}; --help shows all options\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser, its help written from the catalogue."""
    parser = _Parser(
        prog="bilevel" if FilePath(sys.argv[0]).stem == "bilevel" else "python -m bilevel.solve",
        description="Solve a bilevel problem written in Pyomo, or compare methods on it.",
        epilog=f"{section('methods', {name: entry.summary for name, entry in methods().items()})}\n\n{_EXAMPLES}",
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
    each = "for each call of a response function, which is ended then"
    add("--evaluation-time-limit", metavar="SECONDS", type=_positive(float), help=each)
    who = "processes that evaluate points (default: 1), or dask://host:port"
    add("--workers", metavar="N", type=_workers, default=1, help=who)
    add("--study", metavar="URL", help="study.log: store every point a search tries, and go on from there")
    add("--shared", action="store_true", help="other drivers work on the study as well; the budget is that of all")
    tried = "a JSON file with a point, or a list of them, that a search tries first"
    add("--try", metavar="FILE", dest="enqueue", action="append", default=[], help=tried)
    add("--pruner", metavar="NAME", help="stop evaluations early: median, halving, hyperband, race, Optuna's (--list)")
    add("--repeats", metavar="N", type=_positive(int), default=1, help="ask noisy functions so often at each point")
    add("--top", metavar="N", type=_positive(int), help="ask so many of the best again, with new seeds, at the end")
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
    forms = "write the single-level model (.lp, .nl, .mps) or both levels (.aux, .mps beside it), and solve nothing"
    add("--write", metavar="FILE", help=forms)
    add("--list", action="store_true", help="show the models and all that can be named here")
    heard = parser.add_mutually_exclusive_group()
    heard.add_argument("--quiet", action="store_true", help="the result alone, no progress line")
    heard.add_argument(
        "--verbose", action="store_true", help="what was recognised, what was decided, bounds as they move"
    )
    add("--debug", action="store_true", help="show the traceback of an error")
    add("--version", action="version", version=f"bilevel {__version__}")
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


def _workers(text: str) -> int | str:
    return text if "://" in text else int(_positive(int)(text))


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number, 0 or above, is needed")
    return int(text)
