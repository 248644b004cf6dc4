"""The cyipopt builder: what it finds, what it tells the build, that it leaves a working cyipopt alone. No network."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from bilevel import install_cyipopt as tool

posix = pytest.mark.skipif(os.name != "posix", reason="symbolic links and shell scripts")


@pytest.fixture
def casadi_like(tmp_path: Path) -> Path:
    """A folder laid out as casadi's is, with a space in its path and no plain name for the library."""
    folder = tmp_path / "site packages" / "casadi"
    headers = folder / "include" / "coin-or"
    headers.mkdir(parents=True)
    (headers / "IpStdCInterface.h").write_text("/* C */\n")
    (headers / "IpoptConfig.h").write_text('#define IPOPT_VERSION_MAJOR 3\n#define IPOPT_VERSION "3.14.7"\n')
    (folder / "libipopt.so.3").write_text("library")
    (folder / "libipopt.so.3.14.7").write_text("library")
    return folder


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    folder = tmp_path / "prefix"
    folder.mkdir()
    return folder


def refuse_to_run(*arguments: object, **options: object) -> NoReturn:
    raise AssertionError(f"nothing should be run: {arguments}")


def test_finds_headers_library_and_version(casadi_like: Path) -> None:
    ipopt = tool.locate_ipopt(casadi_like)
    assert ipopt == tool.Ipopt(casadi_like / "include" / "coin-or", casadi_like / "libipopt.so.3", "3.14.7")


@pytest.mark.parametrize(
    ("missing", "word"), [("include/coin-or/IpStdCInterface.h", "headers"), ("libipopt*", "library")]
)
def test_names_what_casadi_lacks(casadi_like: Path, missing: str, word: str) -> None:
    for path in list(casadi_like.glob(missing)):
        path.unlink()
    with pytest.raises(tool.InstallError, match=word):
        tool.locate_ipopt(casadi_like)


@posix
def test_finds_ipopt_in_the_casadi_that_is_installed() -> None:
    ipopt = tool.locate_ipopt(tool.casadi_folder())
    assert ipopt.library.is_file()
    assert ipopt.version.startswith("3.")


def test_pkg_config_file_leads_to_headers_and_library(casadi_like: Path, prefix: Path) -> None:
    lines = tool.pkg_config_text(tool.locate_ipopt(casadi_like), prefix).splitlines()
    assert f"prefix={prefix}" in lines
    assert "Cflags: -I${prefix}/include" in lines
    assert "Libs: -L${prefix}/lib -lipopt" in lines
    assert "Version: 3.14.7" in lines


@posix
def test_prepares_the_build_and_keeps_the_users_flags(casadi_like: Path, prefix: Path) -> None:
    given = {"LDFLAGS": "-s", "PKG_CONFIG_PATH": "mine", "PATH": os.environ.get("PATH", ""), "HOME": "home"}
    env = tool.prepare(tool.locate_ipopt(casadi_like), prefix, given)
    assert (prefix / "lib" / "libipopt.so").read_text() == "library"
    assert (prefix / "include" / "IpStdCInterface.h").is_file()
    assert env["PKG_CONFIG_PATH"] == f"{prefix}{os.pathsep}mine"
    assert shlex.split(env["LDFLAGS"]) == ["-s", f"-Wl,-rpath,{casadi_like}"]
    assert env["HOME"] == "home"
    assert given["LDFLAGS"] == "-s"


@posix
@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="there is no pkg-config to ask")
def test_pkg_config_understands_the_file(casadi_like: Path, prefix: Path) -> None:
    env = tool.prepare(tool.locate_ipopt(casadi_like), prefix, os.environ)
    assert flags_from_pkg_config(env) == [f"-I{prefix}/include", f"-L{prefix}/lib", "-lipopt"]


@posix
def test_stands_in_where_there_is_no_pkg_config(casadi_like: Path, prefix: Path) -> None:
    env = tool.prepare(tool.locate_ipopt(casadi_like), prefix, {"PATH": ""})
    assert Path(env["PATH"]) == prefix / "bin"
    assert flags_from_pkg_config(env) == [f"-I{prefix}/include", f"-L{prefix}/lib", "-lipopt"]
    command = [str(prefix / "bin" / "pkg-config"), "--modversion", "ipopt"]
    assert subprocess.check_output(command, env=env, text=True).strip() == "3.14.7"


def flags_from_pkg_config(env: dict[str, str]) -> list[str]:
    command = shutil.which("pkg-config", path=env["PATH"])
    assert command is not None
    return subprocess.check_output([command, "--libs", "--cflags", "ipopt"], env=env, text=True).split()


def test_pip_builds_from_source_past_its_cache_for_this_python() -> None:
    command = tool.pip_command()
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert {"--no-cache-dir", "--no-deps", "--force-reinstall"} <= set(command)
    assert command[command.index("--no-binary") + 1] == "cyipopt"


@pytest.mark.parametrize(
    ("output", "word"),
    [
        ("x.c:1:10: fatal error: Python.h: No such file or directory\nerror: command failed", "python3-dev"),
        ("ERROR: No matching distribution found for cyipopt", "package index"),
        ("error: subprocess-exited-with-error\nld: error: cannot find -lipopt\n", "cannot find -lipopt"),
        ("", "pip failed"),
    ],
)
def test_gives_the_reason_in_one_line(output: str, word: str) -> None:
    reason = tool.reason_of(output)
    assert word in reason
    assert "\n" not in reason


def test_leaves_a_working_cyipopt_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tool, "probe", lambda: tool.Working("1.7.0", "3.14.19"))
    monkeypatch.setattr(tool, "build", refuse_to_run)
    assert tool.main([]) == 0
    assert capsys.readouterr().out == "cyipopt 1.7.0 with Ipopt 3.14.19 works already: nothing to do\n"


@posix
def test_builds_a_broken_one_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], casadi_like: Path
) -> None:
    built: list[tool.Ipopt] = []

    def probe() -> tool.Working:
        if not built:
            raise tool.InstallError("it does not load")
        return tool.Working("1.7.0", "3.14.7")

    monkeypatch.setattr(tool, "probe", probe)
    monkeypatch.setattr(tool, "check_tools", lambda: None)
    monkeypatch.setattr(tool, "casadi_folder", lambda: casadi_like)
    monkeypatch.setattr(tool, "build", lambda ipopt, verbose: built.append(ipopt))
    assert tool.main([]) == 0
    assert [ipopt.version for ipopt in built] == ["3.14.7"]
    assert "built and tested" in capsys.readouterr().out


@posix
def test_says_why_it_failed_and_what_still_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setattr(tool, "build", refuse_to_run)
    assert tool.main(["--force"]) == 1
    said = capsys.readouterr().out
    assert "no C compiler 'no-such-compiler'" in said
    assert "The rest works without it" in said
    assert said.count("\n") == 1


@pytest.mark.skipif(importlib.util.find_spec("cyipopt") is None, reason="cyipopt is not installed")
def test_cyipopt_and_casadi_solve_in_one_process_in_either_order() -> None:
    assert tool.probe().ipopt_version.startswith("3.")
