"""The wheel, built and installed alone: a model is solved by name in a folder that has never heard of this one."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import venv
from pathlib import Path

import commands
import pytest

pytest.importorskip("hatchling", reason="the build backend is part of the extra `test`")
pytest.importorskip("pip", reason="pip installs the wheel")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A virtual environment with the wheel; it borrows what bilevel depends on from here. Nothing is fetched."""
    folder = tmp_path_factory.mktemp("wheel")
    commands.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    home = folder / "environment"
    venv.create(home, with_pip=False)
    bin_ = home / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(bin_ / "python")]
    commands.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], env=alone(), check=True)
    (site,) = {path.parent for path in home.rglob("bilevel") if path.is_dir()}
    borrowed = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (site / "borrowed.pth").write_text("\n".join(borrowed))
    return bin_, site


def alone():
    """This environment without the repository: an editable install here is a line in a .pth there, which is not read."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def test_a_model_is_solved_by_name_from_another_folder(installed, tmp_path):
    bin_, site = installed
    done = commands.run([str(bin_ / "bilevel"), "toy", "--json", "-"], cwd=tmp_path, env=alone())
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["verdict"] == "certified_global"
    listed = commands.run(
        [str(bin_ / "python"), "-m", "bilevel.solve", "--list"], cwd=tmp_path, env=alone(), check=True
    )
    assert "toy" in listed.stdout
    where = [str(bin_ / "python"), "-c", "import bilevel, bilevel.solvers; print(bilevel.__file__, *bilevel.__path__)"]
    for path in commands.run(where, cwd=tmp_path, env=alone(), check=True).stdout.split():
        assert Path(path).is_relative_to(site)


def test_the_environment_gains_one_name_and_types(installed):
    _, site = installed
    gained = {path.name for path in site.iterdir()} - {"borrowed.pth"}
    assert {name.partition("-")[0] for name in gained} == {"bilevel", "bilevel_toolkit"}
    assert (site / "bilevel" / "py.typed").is_file()
    assert {"models", "solvers"} <= {path.name for path in (site / "bilevel").iterdir()}
