"""Run the suite on the oldest dependencies that pyproject.toml admits, and on every Python found that it admits.

    python tests/versions.py [options for pytest]        what ``make test-versions`` does

Each combination has a virtual environment in ``.versions``, kept for the next time. This program needs Python alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from glob import glob
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOMES = ROOT / ".versions"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Version = tuple[int, ...]


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def oldest(declared: dict) -> list[str]:
    """``name==version`` for each lower bound of the dependencies, and of those of every extra."""
    lists = [declared["dependencies"], *declared["optional-dependencies"].values()]
    requirements = dict.fromkeys(text for some in lists for text in some if "[" not in text)
    pinned = []
    for requirement in requirements:
        bound = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
        if bound is None:
            raise SystemExit(f"pyproject.toml: {requirement!r} is not written as name>=version")
        pinned.append("==".join(bound.groups()))
    return pinned


def pythons(least: Version) -> dict[Version, str]:
    """An interpreter of every minor version from ``least`` on, of those on the path and pyenv's."""
    found: dict[Version, str] = {}
    for command in candidates():
        code = "import sys, ensurepip, venv; print(*sys.version_info[:2]); print(sys.executable)"
        try:
            done = subprocess.run([command, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError):
            continue  # pyenv's stand-in for a version that is not switched on, a Python without venv, a broken one
        numbers, where = done.stdout.splitlines()
        version = tuple(map(int, numbers.split()))
        if version >= least:
            found.setdefault(version, where)
    return dict(sorted(found.items()))


def candidates() -> Iterator[str]:
    yield sys.executable
    yield from sorted(glob(str(Path.home() / ".pyenv/versions/*/bin/python")))
    for folder in os.get_exec_path():
        yield from (path for path in sorted(glob(f"{folder}/python3*")) if re.search(r"python3(\.\d+)?$", path))


def tried(name: str, python: str, constraints: list[str], options: list[str]) -> str:
    """Install and run; what came of it in a few words, starting with ``passed`` where all did."""
    home = HOMES / name
    inside = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not inside.exists() and subprocess.run([python, "-m", "venv", str(home)], check=False).returncode:
        return "no environment could be made"
    (home / "constraints.txt").write_text("\n".join(constraints))
    install = [str(inside), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    install += ["--editable", f"{ROOT}[test]", "--constraint", str(home / "constraints.txt")]
    if subprocess.run(install, check=False).returncode:
        return "could not be installed"
    environment = {**os.environ, **ONE_THREAD}
    environment.pop("PYTHONPATH", None)
    code = subprocess.run([str(inside), "-m", "pytest", *options], cwd=ROOT, env=environment, check=False).returncode
    return f"failed (pytest ended with {code})" if code else "passed"


def main(options: list[str]) -> int:
    declared = project()
    least = tuple(map(int, declared["requires-python"].removeprefix(">=").split(".")))
    found = pythons(least)
    if not found:
        raise SystemExit(f"no Python {declared['requires-python']} with venv and ensurepip was found")
    first, *_ = found
    runs = [("oldest", first, oldest(declared)), *((".".join(map(str, version)), version, []) for version in found)]
    outcomes = {}
    for name, version, constraints in runs:
        shown = f"Python {'.'.join(map(str, version))}, {'oldest' if constraints else 'newest'} dependencies"
        print(f"== {shown} ({found[version]})", flush=True)
        outcomes[shown] = tried(name, found[version], constraints, options)
    print("\n" + "\n".join(f"{shown}: {outcome}" for shown, outcome in outcomes.items()))
    return any(outcome != "passed" for outcome in outcomes.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
