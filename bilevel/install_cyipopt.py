"""Build cyipopt against the Ipopt that the casadi wheel brings: no root, no system package, no second Ipopt.

cyipopt is published as source only and asks pkg-config for an Ipopt. The casadi wheel, needed here anyway, carries a
complete one: headers, library and linear solver. So this tool describes that Ipopt in an ``ipopt.pc`` of its own, has
pip build cyipopt with a run path into casadi's folder, and believes the result only once a problem was solved with it::

    python -m bilevel.install_cyipopt

Both then load the same library file, so casadi and cyipopt live in one process, whichever is imported first.
Run it again after casadi has moved to another folder; where cyipopt works already it does nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bilevel.errors import BilevelError

REQUIREMENT = "cyipopt>=1.5"

# min (x0 - 1)^2 + (x1 - 2)^2  s.t.  x0 + x1 = 2, whose solution is (1/2, 3/2), by cyipopt and by casadi in one process.
PROBE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
import casadi, cyipopt, numpy as np

class Toy:
    def objective(self, x): return (x[0] - 1) ** 2 + (x[1] - 2) ** 2
    def gradient(self, x): return np.array([2 * (x[0] - 1), 2 * (x[1] - 2)])
    def constraints(self, x): return np.array([x[0] + x[1]])
    def jacobian(self, x): return np.ones(2)

problem = cyipopt.Problem(n=2, m=1, problem_obj=Toy(), cl=[2], cu=[2])
problem.add_option("print_level", 0)
problem.add_option("sb", "yes")
problem.add_option("hessian_approximation", "limited-memory")
point, info = problem.solve(np.zeros(2))
x = casadi.SX.sym("x", 2)
toy = {"x": x, "f": (x[0] - 1) ** 2 + (x[1] - 2) ** 2, "g": x[0] + x[1]}
twin = casadi.nlpsol("twin", "ipopt", toy, {"print_time": False, "ipopt": {"print_level": 0, "sb": "yes"}})
for answer in (point, np.array(twin(lbg=2, ubg=2)["x"]).ravel()):
    if not np.allclose(answer, [0.5, 1.5], atol=1e-6):
        raise SystemExit(f"wrong answer {answer}")
print(cyipopt.__version__, ".".join(map(str, cyipopt.IPOPT_VERSION)))
"""

# The first needle found in pip's output names the reason; pip's own last error line stands in where none is.
_REASONS = (
    ("Python.h: No such file", "the Python headers are missing (the system package is python3-dev or python3-devel)"),
    ("externally-managed-environment", "this Python belongs to the system: use a virtual environment"),
    (
        "No matching distribution found",
        "pip found no source of cyipopt or of what builds it (is the package index within reach?)",
    ),
    ("Permission denied", "this Python's packages may not be written to: use a virtual environment"),
    ("No space left on device", "the disk is full"),
)


class InstallError(BilevelError):
    """cyipopt could not be built or does not work; says why."""


@dataclass(frozen=True)
class Ipopt:
    """An Ipopt to build against: the folder of its headers, its library file, its version."""

    headers: Path
    library: Path
    version: str


@dataclass(frozen=True)
class Working:
    """A cyipopt that has solved a problem, and the Ipopt it was built with."""

    version: str
    ipopt_version: str


def casadi_folder() -> Path:
    """The folder of the casadi package of this interpreter; importing it is not needed."""
    spec = importlib.util.find_spec("casadi")
    if spec is None or not spec.submodule_search_locations:
        raise InstallError("casadi, whose Ipopt it is built against, is not installed: pip install casadi")
    return Path(spec.submodule_search_locations[0])


def locate_ipopt(folder: Path) -> Ipopt:
    """Find Ipopt inside casadi's folder.

    Parameters
    ----------
    folder : Path
        The folder of the casadi package.

    Raises
    ------
    InstallError
        If the headers or the library are not in it.
    """
    found = sorted(folder.glob("**/IpStdCInterface.h"))
    if not found:
        raise InstallError(f"the casadi in {folder} comes without Ipopt's headers: pip install --upgrade casadi")
    names = [path for pattern in ("libipopt.so*", "libipopt*.dylib") for path in folder.glob(pattern)]
    if not names:
        raise InstallError(f"the casadi in {folder} comes without Ipopt's library: pip install --upgrade casadi")
    library = min(names, key=lambda path: (len(path.name), path.name))  # libipopt.so before libipopt.so.3.14.19
    return Ipopt(headers=found[0].parent, library=library, version=_ipopt_version(found[0].parent))


def _ipopt_version(headers: Path) -> str:
    config = headers / "IpoptConfig.h"
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    match = re.search(r'#define\s+IPOPT_VERSION\s+"([^"]+)"', text)
    return match.group(1) if match else "3.14"


def pkg_config_text(ipopt: Ipopt, prefix: Path) -> str:
    """The ``ipopt.pc`` that describes an Ipopt whose headers and library are seen through the links in ``prefix``."""
    return "\n".join(
        [
            f"prefix={prefix}",
            "Name: Ipopt",
            "Description: Interior Point Optimizer, as the casadi wheel brings it",
            f"Version: {ipopt.version}",
            "Cflags: -I${prefix}/include",
            "Libs: -L${prefix}/lib -lipopt",
            "",
        ]
    )


def stand_in_text(ipopt: Ipopt, prefix: Path) -> str:
    """A ``pkg-config`` that knows Ipopt alone, for a machine that has none: cyipopt's build asks no more of it."""
    flags = f"-I{prefix}/include -L{prefix}/lib -lipopt"
    return f'#!/bin/sh\ncase "$*" in\n  *--modversion*) echo "{ipopt.version}" ;;\n  *) echo "{flags}" ;;\nesac\n'


def prepare(ipopt: Ipopt, prefix: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Lay out what the build needs in a private folder, and say so in the build's environment.

    The links give a library with a version in its name the plain one that the linker looks for, and keep a space in
    casadi's path out of the flags, which cyipopt's build splits at spaces.

    Parameters
    ----------
    ipopt : Ipopt
        What to build against.
    prefix : Path
        An existing empty folder.
    environ : mapping
        The environment to extend.

    Returns
    -------
    dict
        The extended environment.
    """
    (prefix / "include").symlink_to(ipopt.headers)
    (prefix / "lib").mkdir()
    (prefix / "lib" / f"libipopt{'.dylib' if ipopt.library.suffix == '.dylib' else '.so'}").symlink_to(ipopt.library)
    (prefix / "ipopt.pc").write_text(pkg_config_text(ipopt, prefix), encoding="utf-8")
    env = dict(environ)
    env["PKG_CONFIG_PATH"] = _joined(os.pathsep, str(prefix), env.get("PKG_CONFIG_PATH"))
    env["LDFLAGS"] = _joined(" ", env.get("LDFLAGS"), shlex.quote(f"-Wl,-rpath,{ipopt.library.parent}"))
    if shutil.which("pkg-config", path=env.get("PATH")) is None:
        stand_in = prefix / "bin" / "pkg-config"
        stand_in.parent.mkdir()
        stand_in.write_text(stand_in_text(ipopt, prefix), encoding="utf-8")
        stand_in.chmod(0o755)
        env["PATH"] = _joined(os.pathsep, str(stand_in.parent), env.get("PATH"))
    return env


def _joined(separator: str, *parts: str | None) -> str:
    return separator.join(part for part in parts if part)


def check_tools() -> None:
    """Refuse early, with the cure, where pip or a C compiler is missing or Windows is asked for."""
    if sys.platform == "win32":
        raise InstallError("on Windows take it from conda-forge: conda install -c conda-forge cyipopt")
    if importlib.util.find_spec("pip") is None:
        raise InstallError("this Python has no pip: python -m ensurepip")
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        raise InstallError(f"there is no C compiler {compiler!r}: install one, or name yours in CC")


def pip_command() -> list[str]:
    """The call of pip that builds cyipopt for this interpreter.

    Without pip's cache: a wheel built for another environment holds the run path of that environment's casadi. Without
    dependencies: numpy, its only one, is here with casadi, and a forced reinstall must not touch it.
    """
    options = [
        "--no-binary",
        "cyipopt",
        "--no-cache-dir",
        "--no-deps",
        "--force-reinstall",
        "--disable-pip-version-check",
    ]
    return [sys.executable, "-m", "pip", "install", "--no-input", *options, REQUIREMENT]


def reason_of(output: str) -> str:
    """The reason for a failed build, in one line, from what pip printed."""
    for needle, reason in _REASONS:
        if needle in output:
            return reason
    errors = [line.strip() for line in output.splitlines() if re.search(r"\berror\b", line, re.IGNORECASE)]
    telling = [line for line in errors if "subprocess" not in line and "not a problem with pip" not in line]
    return (telling or errors or ["pip failed"])[-1]


def build(ipopt: Ipopt, *, verbose: bool = False) -> None:
    """Have pip build and install cyipopt against this Ipopt.

    Parameters
    ----------
    ipopt : Ipopt
        What to build against.
    verbose : bool
        Show what pip prints.

    Raises
    ------
    InstallError
        If pip fails.
    """
    with tempfile.TemporaryDirectory(prefix="cyipopt-") as folder:
        env = prepare(ipopt, Path(folder), os.environ)
        done = subprocess.run(pip_command(), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if verbose:
        print(done.stdout, file=sys.stderr)
    if done.returncode != 0:
        raise InstallError(reason_of(done.stdout))


def probe() -> Working:
    """Solve a small problem with cyipopt and with casadi's Ipopt in one new process, imported in either order.

    Raises
    ------
    InstallError
        If cyipopt is not installed, or does not load, or does not solve it.
    """
    if importlib.util.find_spec("cyipopt") is None:
        raise InstallError("it is not installed")
    for order in (("casadi", "cyipopt"), ("cyipopt", "casadi")):
        done = subprocess.run([sys.executable, "-c", PROBE, *order], capture_output=True, text=True)
        if done.returncode != 0:
            last = (done.stderr.strip() or f"the process ended with {done.returncode}").splitlines()[-1]
            raise InstallError(f"it does not work with {order[0]} imported first: {last}")
    version, ipopt_version = done.stdout.split()[-2:]
    return Working(version, ipopt_version)


def install(*, force: bool = False, verbose: bool = False) -> str:
    """Make cyipopt work in this environment, if it does not already.

    Parameters
    ----------
    force : bool
        Build it again even where it works.
    verbose : bool
        Show what pip prints.

    Returns
    -------
    str
        What happened, in one line.

    Raises
    ------
    InstallError
        If it does not work in the end.
    """
    if not force:
        try:
            working = probe()
        except InstallError:
            pass
        else:
            return f"cyipopt {working.version} with Ipopt {working.ipopt_version} works already: nothing to do"
    start = time.monotonic()
    check_tools()
    ipopt = locate_ipopt(casadi_folder())
    print(f"building cyipopt against the Ipopt {ipopt.version} in {ipopt.library.parent}", file=sys.stderr, flush=True)
    build(ipopt, verbose=verbose)
    importlib.invalidate_caches()
    working = probe()
    versions = f"cyipopt {working.version} with the Ipopt {working.ipopt_version} of casadi"
    return f"{versions} built and tested in {time.monotonic() - start:.0f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; the exit code is 0 if cyipopt works in the end, 1 if not."""
    parser = argparse.ArgumentParser(
        prog="python -m bilevel.install_cyipopt",
        description="Build cyipopt against the Ipopt in the casadi wheel. Needs a C compiler, but no root.",
    )
    parser.add_argument("--force", action="store_true", help="build it again even where it works")
    parser.add_argument("--verbose", action="store_true", help="show what pip prints")
    options = parser.parse_args(arguments)
    try:
        print(install(force=options.force, verbose=options.verbose))
    except InstallError as error:
        print(f"cyipopt could not be installed: {error}. The rest works without it; Ipopt then runs through casadi.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
