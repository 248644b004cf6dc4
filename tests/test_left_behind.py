"""What a test leaves behind is that test's failure and nobody else's, and it is gone."""

from __future__ import annotations

import sys
from pathlib import Path

import commands
import psutil
import pytest

CONFTEST = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import left_behind
from left_behind import nothing_left_behind
left_behind.GRACE = 0.2
left_behind.adopt_orphans()
"""

SUITE = """
import subprocess, sys

KEPT = []
SLEEP = [sys.executable, "-c", "import time; time.sleep(1000)"]

def test_leaves_a_process():
    KEPT.append(subprocess.Popen(SLEEP, start_new_session=True))

def test_1_is_innocent():
    pass

def test_leaves_an_orphan():
    code = f"import subprocess; subprocess.Popen({SLEEP!r}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)

def test_2_is_innocent():
    pass

def test_leaves_a_file(tmp_path):
    cycle = [(tmp_path / "kept").open("w")]
    cycle.append(cycle)

def test_fails_with_a_file_open(tmp_path):
    kept = (tmp_path / "kept").open("w")
    raise ValueError

def test_3_is_innocent():
    pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux alone")
def test_what_is_left_is_the_failure_of_who_left_it_and_gone(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:randomly"]
    out = commands.run([*command, "--rootdir", str(tmp_path)], cwd=tmp_path).stdout
    told = [line.split(" - ")[0] for line in out.splitlines() if line.startswith(("ERROR", "FAILED"))]
    guilty = [f"{k} test_suite.py::test_{name}" for k, name in GUILTY]
    assert sorted(told) == sorted(guilty), out
    assert not [p for p in psutil.process_iter() if "time.sleep(1000)" in " ".join(_command(p))]


GUILTY = [
    ("ERROR", "leaves_a_process"),
    ("ERROR", "leaves_an_orphan"),
    ("ERROR", "leaves_a_file"),
    ("ERROR", "fails_with_a_file_open"),
    ("FAILED", "fails_with_a_file_open"),
]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
