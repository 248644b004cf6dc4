"""The suite gives the same verdict every time: Hypothesis without a clock and without chance, and no test disturbs another.

``BILEVEL_EXAMPLES=500`` looks further than the suite does, and elsewhere each time. Programs are started by
:mod:`commands`; what a test leaves behind is its failure (:mod:`left_behind`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import left_behind
import pytest
from hypothesis import Phase, settings
from left_behind import nothing_left_behind  # noqa: F401 - a fixture of every test

from bilevel import registry

_WANTED = os.environ.get("BILEVEL_EXAMPLES")

# No shrinking: one example of a global engine may take a second, and making it smaller takes hundreds.
_PHASES = (Phase.explicit, Phase.generate)
settings.register_profile(
    "suite", deadline=None, derandomize=True, database=None, max_examples=30, phases=_PHASES, report_multiple_bugs=False
)
settings.register_profile("wide", deadline=None, database=None, max_examples=int(_WANTED or 500))
settings.load_profile("wide" if _WANTED else "suite")

# Machine code gives the same bits, some seconds later: no test waits for it, and no compiler takes the others' processor.
os.environ.setdefault("BILEVEL_NATIVE", "0")

# What a terminal, or who likes colours, says of the width and the look of what is printed.
for _name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "PYTHON_COLORS", "PYTHONWARNINGS"):
    os.environ.pop(_name, None)

left_behind.adopt_orphans()


@pytest.fixture
def machine_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Large graphs are compiled after all, into a folder of this test's own; the folder."""
    if not (shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")):
        pytest.skip("no C compiler on this machine")
    monkeypatch.setenv("BILEVEL_NATIVE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "bilevel"


@pytest.fixture(autouse=True)
def no_part_outlives_its_test() -> Iterator[None]:
    """A search that a test registers is none for the next one: pages and tables are drawn from what there is."""
    yield
    for parts in registry._registered.values():
        for name in [name for name, part in parts.items() if not part.__module__.startswith("bilevel.")]:
            del parts[name]


def pytest_unconfigure() -> None:
    """A worker of pytest's that died did not clear up after its test."""
    left_behind.end_all()
