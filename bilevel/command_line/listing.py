"""``--list``: every part by name, and the models of the gallery."""

from __future__ import annotations

import argparse
import ast
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path as FilePath

from bilevel.command_line.terminal import FOUND, despite_a_broken_pipe
from bilevel.contracts.engine import Engine
from bilevel.contracts.pruner import Pruner
from bilevel.contracts.treatment import Treatment
from bilevel.files.model_files import gallery, load_model
from bilevel.registry import Entry, catalogue, methods


def show_list(arguments: argparse.Namespace) -> int:
    """Print all that can be named; with a model file, the parts that are registered in it as well."""
    if arguments.model is not None:
        load_model(arguments.model, dict(arguments.set))
    models = {name: _first_line(path) for name, path in gallery().items()}
    sections = [
        section("models of the gallery", models),
        section("methods (--method, --compare)", _described(methods())),
        section("complementarity treatments (--complementarity)", _described(catalogue(Treatment))),
        section("engines (--engine)", _described(catalogue(Engine))),
        section("pruners (--pruner)", _described(catalogue(Pruner))),
    ]
    despite_a_broken_pipe(lambda: print("\n\n".join(sections)))
    return FOUND


def _first_line(path: FilePath) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _described(entries: Mapping[str, Entry]) -> dict[str, str]:
    """What each part is, and when to take it rather than its neighbour."""
    return {name: f"{entry.summary} {entry.when}".replace("``", "") for name, entry in entries.items()}


def section(title: str, entries: Mapping[str, str]) -> str:
    """A title, and names with their summaries, wrapped to the terminal."""
    width = max(50, shutil.get_terminal_size((100, 24)).columns - 1)
    column = max(map(len, entries), default=0) + 4
    lines = [
        textwrap.fill(summary, width, initial_indent=f"  {name}".ljust(column), subsequent_indent=" " * column)
        for name, summary in entries.items()
    ]
    return "\n".join([title, *lines])
