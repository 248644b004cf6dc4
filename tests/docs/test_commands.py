"""Every command that a page shows exists: options by the parser, targets by the Makefile, files by the folder."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
from pages import PAGES, ROOT, blocks, inline_code, shown

from bilevel import registry
from bilevel.command_line.parser import make_parser
from bilevel.command_line.studies import make_study_parser
from bilevel.files.model_files import gallery

TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
USER_FILES = {"model.py", "instance.mps", "Example.m"}


def commands():
    """Every command of every page: lines of shell blocks, continued ones joined, and commands within the text."""
    for page in PAGES:
        lines = [line for block in blocks(page, "sh") for line in re.sub(r"\n\s+", " ", block.code).splitlines()]
        inline = [code for code in inline_code(page) if code.startswith(("python ", "make ", "pip "))]
        for line in [*lines, *inline]:
            yield pytest.param(shlex.split(line, comments=True), id=f"{shown(page)}: {line[:60]}")


def check_solve(arguments):
    """The optional ones stand in brackets, and ``...`` says that one may be repeated."""
    plain = [word.strip("[]") for word in arguments if word != "...]"]
    together = {"--compare", "--method"} <= set(plain)  # the synopsis names both, a call may not
    if together:
        place = plain.index("--compare")
        del plain[place : place + 2]
    if {"--quiet", "--verbose"} <= set(plain):
        plain.remove("--quiet")
    asked = make_parser().parse_args(plain)
    if asked.model is not None and asked.model not in USER_FILES:
        assert asked.model in gallery() or (ROOT / asked.model).is_file(), asked.model
    for method in [*(asked.compare or []), *([asked.method] if asked.method else [])]:
        assert method.partition(":")[0] in registry.methods(), method


def check_script(script, arguments):
    text = (ROOT / script).read_text(encoding="utf-8")
    for option in (word for word in arguments if word.startswith("--")):
        assert f'"{option}"' in text, f"{script} has no {option}"


def check_make(arguments):
    named = [word for word in arguments if "=" not in word]
    assert set(named) <= set(TARGETS), f"the Makefile has no {named}"
    for setting in (word.partition("=")[0] for word in arguments if "=" in word):
        assert re.search(rf"^{setting}\s*\?=", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), setting


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_exists(words):
    match words:
        case []:
            return  # a comment alone
        case ["python" | "python3", "-m", "bilevel.solve", *arguments]:
            check_solve(arguments)
        case ["python" | "python3", "-m", "bilevel.study", *arguments]:
            make_study_parser().parse_args(arguments)
        case ["python" | "python3", "-m", "bilevel.install_cyipopt"]:
            assert (ROOT / "bilevel" / "install_cyipopt.py").is_file()
        case ["python" | "python3", script, *arguments]:
            check_script(script, arguments)
        case ["make", *arguments]:
            check_make(arguments)
        case ["pip", "install", "."]:
            assert (ROOT / "pyproject.toml").is_file()
        case ["pip", "install", ours] if ours.startswith("bilevel-toolkit["):
            extra = ours.partition("[")[2].rstrip("]")
            project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            assert extra in project["optional-dependencies"]
        case _:
            pytest.fail(f"nobody checks {shlex.join(words)}: say here how")


@pytest.mark.parametrize(
    "wrong", ["python -m bilevel.solve toy --methods kkt", "make everything", "python benchmarks/exact.py --fast"]
)
def test_a_command_that_does_not_exist_is_seen(wrong):
    with pytest.raises((AssertionError, SystemExit)):
        test_a_command_exists(shlex.split(wrong))
