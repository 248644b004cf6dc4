"""Every Python block of every page runs: blocks of one page one after the other, in one namespace, in an empty folder.

``<!-- not run: NAME -->`` above a block says that it shows another package's code, ``<!-- slow -->`` that its page is
run with it by the slow tests alone.
"""

from __future__ import annotations

import linecache
import types
from pathlib import Path

import pytest
from pages import PAGES, blocks, shown

from bilevel import registry

OTHERS = {"PAO", "Optuna", "scikit-learn", "plotly", "MLflow", "Dask"}
WITH_CODE = [page for page in PAGES if blocks(page, "python")]


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """Where pages write; the parts they register are gone afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(registry.foreign())
    yield
    for part in set(registry.foreign()) - before:
        for parts in registry._registered.values():
            parts.pop(part.name, None)


def run(page: Path, marks: set[str]) -> None:
    namespace = types.ModuleType("page").__dict__
    for block in blocks(page, "python"):
        if block.mark in marks:
            name = f"{shown(page)}:{block.line}"
            code = "\n" * (block.line - 1) + block.code
            linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
            exec(compile(code, name, "exec"), namespace)


@pytest.mark.usefixtures("empty_folder")
@pytest.mark.parametrize("page", WITH_CODE, ids=shown)
def test_the_blocks_of_a_page_run(page):
    run(page, {""})


@pytest.mark.slow
@pytest.mark.usefixtures("empty_folder")
@pytest.mark.parametrize(
    "page", [p for p in WITH_CODE if any(b.mark == "slow" for b in blocks(p, "python"))], ids=shown
)
def test_the_slow_blocks_of_a_page_run(page):
    run(page, {"", "slow"})


def test_only_code_of_other_packages_is_left_out():
    marks = {block.mark for page in PAGES for block in blocks(page, "python")}
    assert marks <= {"", "slow"} | {f"not run: {name}" for name in OTHERS}


def test_a_block_that_fails_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- slow -->\n```python\na = 1\n```\n\ntext\n\n```python\nassert a == 2\n```\n")
    assert [(b.mark, b.line) for b in blocks(page, "python")] == [("slow", 3), ("", 9)]
