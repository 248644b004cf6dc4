"""The examples in docstrings are run, and every public name that a modeller calls has one."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import bilevel

ROOT = Path(__file__).parent.parent
# What a method's author needs is shown by examples/own_search.py; the others are handed over, and not called.
WITHOUT = {"BilevelError", "Engine", "Observer", "Path", "Problem", "Search", "Treatment", "register", "__version__"}
WITHOUT |= set(bilevel._ROOMS)  # whose functions have theirs, in the tests of the modules


def modules_with_examples() -> list[str]:
    """By their text, so that collecting the tests imports none of them and a new file is found by itself."""
    files = [file for folder in ("bilevel", "solvers") for file in sorted((ROOT / folder).rglob("*.py"))]
    return [module_of(file) for file in files if ">>> " in file.read_text(encoding="utf-8")]


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "bilevel" else ("bilevel", *parts))


@pytest.mark.parametrize("module", modules_with_examples())
def test_the_examples_run(module):
    said: list[str] = []
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(importlib.import_module(module)):
        runner.run(test, out=said.append)
    assert not said, "".join(said)
    assert runner.tries, "an example in the text, and none in a docstring"


@pytest.mark.parametrize("name", sorted({*bilevel.__all__} - WITHOUT))
def test_a_public_name_has_an_example(name):
    found = doctest.DocTestFinder(recurse=False).find(getattr(bilevel, name), name)
    assert sum(len(test.examples) for test in found), f"bilevel.{name}: no example in its docstring"


def test_the_exceptions_are_public_names():
    assert set(bilevel.__all__) >= WITHOUT
