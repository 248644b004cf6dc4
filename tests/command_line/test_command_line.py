"""Exit codes, messages, files and options of ``python -m bilevel.solve``."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import commands
import pytest

import bilevel
from bilevel.api import solving
from bilevel.command_line.main import main
from bilevel.contracts.finding import Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.errors import RefusedError
from bilevel.results.progress import ProgressLine
from bilevel.results.result import Result

ROOT = str(Path(bilevel.__file__).parents[1])


def run(*arguments, cwd):
    """The command line in a process of its own."""
    path = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "bilevel.solve", *arguments]
    return commands.run(command, cwd=cwd, env={**os.environ, "PYTHONPATH": path})


@pytest.fixture
def asked(monkeypatch):
    """``solved`` replaced; what it was asked, by method."""
    calls = {}

    def solved(model, asked, observer):
        method = asked.method
        calls[method] = {
            **{f.name: getattr(asked, f.name) for f in dataclasses.fields(asked)},
            **asked.options,
            "observer": observer,
        }
        found = outcome.get(method, Verdict.BEST_FOUND)
        if isinstance(found, BaseException):
            raise found
        verdict, ended = found if isinstance(found, tuple) else (found, Termination.BUDGET)
        value = 1.0 if verdict.holds_a_point else None
        return Result(method, verdict, ended, value, upper={"x": 1.0} if value else {})

    outcome = calls.setdefault("outcome", {})
    monkeypatch.setattr(solving, "solved", solved)
    return calls


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_exit_code_is_the_verdict(asked, verdict, capsys):
    asked["outcome"]["auto"] = verdict
    assert main(["toy"]) == (0 if verdict.holds_a_point else 1)
    assert str(verdict) in capsys.readouterr().out


def test_an_interrupted_run_reports_and_exits_130(asked, capsys, tmp_path):
    asked["outcome"].update(random=(Verdict.BEST_FOUND, Termination.INTERRUPTED), kkt=KeyboardInterrupt())
    path = tmp_path / "out.json"
    assert main(["toy", "--method", "random", "--json", str(path)]) == 130
    assert "best_found" in capsys.readouterr().out
    assert json.loads(path.read_text())["termination"] == "interrupted"
    assert main(["toy", "--compare", "random,grid"]) == 130
    assert "not finished: grid" in capsys.readouterr().out
    assert main(["toy", "--method", "kkt"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_comparison_succeeds_where_one_method_does(asked, capsys):
    asked["outcome"].update(kkt=RefusedError("not\nconvex"), random=Verdict.BEST_FOUND, grid=Verdict.FAILED)
    assert main(["toy", "--compare", "kkt,random"]) == 0
    assert "kkt: not convex" in " ".join(capsys.readouterr().out.split())
    assert main(["toy", "--compare", "kkt,grid"]) == 1


def test_an_error_is_one_line_and_debug_shows_the_rest(asked, capsys):
    asked["outcome"]["kkt"] = RefusedError("the lower level\nis not convex; take a search")
    assert main(["toy", "--method", "kkt"]) == 2
    assert capsys.readouterr() == ("", "error: the lower level is not convex; take a search\n")
    assert main(["toy", "--method", "kkt", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


WRONG = {
    "no file": (["nothing.py"], "there is no file nothing.py"),
    "no setting": (["toy", "--set", "speed=3"], "no setting 'speed'; it has target=5.0"),
    "a setting's type": (["toy", "--set", "target=far"], "target=far: not of type float"),
    "no method": (["toy", "--compare", "random,rendom"], "no method is called 'rendom'"),
    "a general option": (["toy", "--option", "time_limit=3"], "write --time-limit"),
    "an option's type": (["toy", "--method", "typed", "--option", "width=wide"], "width=wide: not of type int"),
    "no folder": (["toy", "--json", "no/such/out.json"], "there is no folder no/such"),
    "a picture's ending": (["toy", "--plot", "out.abc"], "end its name in one of"),
}


@pytest.fixture
def typed(monkeypatch):
    from bilevel import registry
    from bilevel.contracts.search import Search

    for name in registry.catalogue(Search):
        registry.get(Search, name)  # a module is run once: what registers meanwhile would be lost afterwards
    monkeypatch.setitem(registry._registered, Search, dict(registry._registered[Search]))

    @registry.register("typed")
    class Typed(Search):
        """Has an option."""

        def __init__(self, space, rng, budget, *, width: int = 3, name=None):
            super().__init__(space, rng, budget)

        def ask(self, count=1):
            return []


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.usefixtures("typed")
def test_a_wrong_call_is_exit_2_and_says_why(asked, capsys, kind):
    arguments, expected = WRONG[kind]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["toy", "--nonsense"],
        ["toy", "--budget", "0"],
        ["toy", "--budget", "1.5"],
        ["toy", "--time-limit", "-1"],
        ["toy", "--seed", "x"],
        ["toy", "--workers", "0"],
        ["toy", "--set", "target"],
        ["toy", "--compare", ","],
        ["toy", "--compare", "kkt", "--method", "kkt"],
    ],
)
def test_what_argparse_refuses_is_exit_2(arguments, capsys):
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("typed")
def test_every_option_arrives(asked, capsys):
    line = "toy --method typed --budget 7 --seed 3 --time-limit 2.5 --complementarity sos1 --engine scip"
    more = "--allow-nonconvex --attitude pessimistic --option width=4 --option name=(1,2) --quiet --set target=2"
    more += " --workers 2 --study sqlite:///kept.db --evaluation-time-limit 600 --shared --pruner median --repeats 2 --top 3"
    assert main([*line.split(), *more.split()]) == 0
    settings = asked["typed"]
    assert type(settings.pop("observer")) is Observer
    assert settings.pop("options") == {"width": 4, "name": (1, 2)}
    assert settings == {
        "method": "typed",
        "budget": 7,
        "seed": 3,
        "time_limit": 2.5,
        "complementarity": "sos1",
        "engine": "scip",
        "workers": 2,
        "study": "sqlite:///kept.db",
        "shared": True,
        "executor": None,
        "enqueue": (),
        "evaluation_time_limit": 600.0,
        "callbacks": (),
        "pruner": "median",
        "repeats": 2,
        "top": 3,
        "allow_nonconvex": True,
        "attitude": "pessimistic",
        "width": 4,
        "name": (1, 2),
    }
    first = " ".join(capsys.readouterr().out.partition("\n\n")[0].split())
    for part in ("toy (target=2)", "typed", "budget 7", "seed 3", "2.5 s", "sos1", "scip", "pessimistic", "width=4"):
        assert part in first
    assert main(["toy"]) == 0
    assert isinstance(asked["auto"]["observer"], ProgressLine)


def test_json_has_the_field_names(tmp_path, capsys):
    path = tmp_path / "out.json"
    assert main(["toy", "--method", "random", "--budget", "3", "--json", str(path)]) == 0
    read = json.loads(path.read_text())
    fields = {name for name in Result.__dataclass_fields__ if not name.startswith("_")}
    assert set(read) == {*fields, "failures", "saved"}
    assert len(read["history"]) == read["evaluations"] == 3
    capsys.readouterr()
    assert main(["toy", "--compare", "random,grid", "--budget", "3", "--json", "-"]) == 0
    assert [row["method"] for row in json.loads(capsys.readouterr().out)["results"]] == ["random", "grid"]


def test_a_picture_is_drawn(tmp_path, capsys):
    path = tmp_path / "out.png"
    assert main(["toy", "--method", "random", "--budget", "3", "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_lists_and_version(capsys):
    assert main(["--list"]) == 0
    text = capsys.readouterr().out
    for name in ("toy", "Two parabolas", "auto", "random", "highs", "--engine", "--complementarity"):
        assert name in text
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bilevel {bilevel.__version__}\n"


@pytest.mark.parametrize("argument", ["--help", "--list"])
def test_help_imports_nothing_heavy(argument):
    code = (
        f"import sys; from bilevel.command_line.main import main; code = main([{argument!r}])\n"
        "heavy = {'pyomo', 'casadi', 'numpy', 'rich', 'matplotlib', 'optuna'} & set(sys.modules)\n"
        "assert not heavy, heavy; sys.exit(code)"
    )
    done = commands.run([sys.executable, "-c", code])
    assert (done.returncode, done.stderr) == (0, "")
    assert "  random " in done.stdout
    assert "Seeded random points" in done.stdout


def test_a_small_problem_loads_what_it_needs_and_pyomo_still_finds_all_of_scipy():
    code = (
        "import gc, sys; from bilevel.command_line.main import main; assert main(['toy', '--json', '-', '--quiet']) == 0\n"
        "print(sorted({'scipy.stats', 'scipy.optimize', 'networkx', 'bilevel.solvers.paths.kkt'} & set(sys.modules)))\n"
        "from pyomo.common.dependencies import scipy, scipy_available\n"
        "print(gc.isenabled(), bool(scipy_available), scipy.stats.norm.cdf(0.0), 'scipy.stats' in sys.modules)"
    )
    lines = commands.run([sys.executable, "-c", code], check=True).stdout.splitlines()
    assert lines[-2:] == ["[]", "True True 0.5 True"]


def test_as_a_process_from_a_folder_with_packages_of_the_same_names(tmp_path):
    for package in ("models", "solvers"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("WHOSE = 'mine'\n")
    (tmp_path / "models" / "toy.py").write_text("raise SystemExit('not this one')\n")
    done = run("toy", "--method", "random", "--budget", "2", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "lower.y" in done.stdout
    assert "\x1b" not in done.stdout
    done = run("nothing.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no file nothing.py")


@pytest.mark.skipif(os.name != "posix", reason="pipes that break")
@pytest.mark.parametrize("argument", ["--list", "--help"])
def test_a_reader_who_leaves_is_no_error(argument):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "bilevel.solve", argument]
    with os.fdopen(writing, "w") as gone:
        done = commands.run(command, stdout=gone, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
