"""Stored studies: a run that was stopped, killed or given a greater budget goes on as if it had never stopped."""

from __future__ import annotations

import json
import math
import signal
import sys
from pathlib import Path

import commands
import pyomo.environ as pyo
import pytest
from histories import StopAt, told
from test_contract import SEARCHES, build, half_infeasible

import bilevel
from bilevel import LowerLevel
from bilevel.errors import OptionError, RefusedError, StudyError
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.solvers.loop.studies import study_at
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space

BUDGET = 22
SPACE = "mixed"


def solve(search, study, budget=BUDGET, model=None, seed=4, **more):
    try:
        return bilevel.solve(model or build(SPACE), search, budget=budget, seed=seed, study=study, **more)
    except RefusedError as refusal:
        pytest.skip(str(refusal))


@pytest.fixture
def study(tmp_path):
    return f"{tmp_path}/study.log"


@pytest.mark.parametrize("search", SEARCHES)
def test_a_stopped_run_goes_on_as_if_it_had_not(search, study, tmp_path):
    space = "reals" if search == "gradient" else SPACE
    whole = solve(search, f"{tmp_path}/whole.log", model=build(space))
    stopped = solve(search, study, model=build(space), observer=StopAt(9))
    assert stopped.termination == "interrupted"
    assert stopped.evaluations == 9
    resumed = solve(search, study, model=build(space))
    assert told(resumed) == told(whole)
    assert resumed.verdict == whole.verdict
    assert any("9 of" in note and "study" in note for note in resumed.notes)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_greater_budget_continues(search, study, tmp_path):
    model = build("constrained")  # the same object: what the first run leaves on it must not matter
    whole = solve(search, f"{tmp_path}/whole.log", model=build("constrained"))
    first = solve(search, study, 7, model=model)
    assert first.evaluations == 7
    again = solve(search, study, model=model)
    assert told(again)[:7] == told(first)
    assert told(again) == told(whole)


@pytest.mark.parametrize("search", ["random", "rbf", "gp", "surrogate"])
def test_without_a_study_the_history_is_the_same(search, study):
    plain = bilevel.solve(build("reals"), search, budget=32, seed=4)
    assert told(plain) == told(solve(search, study, 32, build("reals")))


def test_failures_are_stored_and_not_tried_again(study):
    model = half_infeasible()
    first = solve("random", study, 12, model)
    failed = [e for e in first.history if not e.answered]
    assert failed
    assert all(math.isnan(e.cost) and e.message for e in failed)
    assert told(solve("random", study, 12, model)) == told(first)


def test_nothing_is_evaluated_twice(study):
    calls = []

    def answer(x):
        calls.append(x["a"])
        return {"y": x["a"] ** 2}

    model = pyo.ConcreteModel()
    model.a = pyo.Var(bounds=(-1, 2))
    model.lower = LowerLevel(response=answer)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    solve("gp", study, 8, model)
    evaluated = len(calls)
    solve("gp", study, 8, model)
    assert len(calls) - evaluated <= 3  # the verification of the answer alone
    solve("gp", study, 12, model)
    assert len(calls) - evaluated <= 3 + 4 + 3


KILLED = """
import os, signal, sys
sys.path[:0] = [sys.argv[1], sys.argv[1].rpartition("/")[0]]
from test_contract import build
from bilevel.contracts.observer import Observer
import bilevel

class Kill(Observer):
    def evaluated(self, archive):
        if len(archive) == 9:
            os.kill(os.getpid(), signal.SIGKILL)

bilevel.solve(build(sys.argv[4]), sys.argv[2], budget=22, seed=4, study=sys.argv[3], observer=Kill())
"""


@pytest.mark.parametrize("search", ["surrogate", *(pytest.param(s, marks=pytest.mark.slow) for s in SEARCHES)])
def test_a_killed_run_goes_on_as_if_it_had_not(search, study, tmp_path):
    space = "reals" if search == "gradient" else SPACE
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), search, study, space]
    run = commands.run(command)
    assert run.returncode == -signal.SIGKILL, run.stderr
    resumed = solve(search, study, model=build(space))
    assert any("9 of" in note for note in resumed.notes)
    assert told(resumed) == told(solve(search, f"{tmp_path}/whole.log", model=build(space)))


def changed_bounds():
    model = build(SPACE)
    model.r.setub(1.5)
    return model


def changed_coefficient():
    model = build(SPACE)
    model.lower.obj.set_value(model.lower.obj.expr * 1.0000001)
    return model


def changed_objective():
    model = build(SPACE)
    model.obj.set_value(model.obj.expr + 1)
    return model


def one_more_constraint():
    model = build(SPACE)
    model.more = pyo.Constraint(expr=model.r <= 0.9)
    return model


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"search": "grid"}, "method random there, grid here"),
        ({"seed": 5}, "seed 4 there, 5 here"),
        ({"sampling": "sobol"}, "options none there, sampling='sobol' here"),
        ({"model": changed_bounds()}, "the space of r"),
        ({"model": changed_coefficient()}, "the lower level lower"),
        ({"model": changed_objective()}, "the upper objective"),
        ({"model": one_more_constraint()}, "the upper constraints"),
        ({"model": build("reals")}, "the space of a none there"),
        ({"attitude": "pessimistic"}, "attitude optimistic there, pessimistic here"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value.split(" there")[0].replace(" ", "_"),
)
def test_the_study_of_another_run_is_refused_by_the_difference(study, other, difference):
    solve("random", study, 3)
    with pytest.raises(StudyError, match=difference):
        bilevel.solve(
            **{"method": other.pop("search", "random"), "model": build(SPACE), "seed": 4, "study": study, **other}
        )
    assert len(solve("random", study, 3).history) == 3


def test_on_the_command_line_that_is_exit_code_2(study, capsys):
    from bilevel.command_line.main import main

    asked = ["toy", "--method", "random", "--budget", "4", "--study", study, "--quiet"]
    assert main(asked) == 0
    assert main([*asked, "--seed", "9"]) == 2
    assert "seed 0 there, 9 here" in capsys.readouterr().err
    assert main([*asked[:4], "6", *asked[5:]]) == 0
    assert "4 of 6 evaluations come from the study" in " ".join(capsys.readouterr().out.split())


def test_names_keep_several_studies_in_one_file(study):
    one = solve("random", f"{study}#one", 5, seed=1)
    other = solve("random", f"{study}#other", 5, seed=2)
    assert told(solve("random", f"{study}#one", 5, seed=1)) == told(one) != told(other)


def test_a_comparison_keeps_a_study_for_each_method(study):
    before = bilevel.compare(build(SPACE), "grid,random", budget=5, study=study)
    after = bilevel.compare(build(SPACE), "grid,random", budget=9, study=study)
    for short, long in zip(before.results, after.results, strict=True):
        assert told(long)[:5] == told(short)
        assert any("5 of 9" in note for note in long.notes)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("redis://host/db", "no storage is called redis"),
        ("sqlite:///", "names no file"),
        ("sqlite:////nowhere/at/all/study.db", "create it first"),
    ],
)
def test_an_address_that_cannot_be_is_refused(address, words):
    with pytest.raises(StudyError, match=words):
        solve("random", address, 3)


@pytest.mark.parametrize("scheme", ["", "sqlite:///"])
def test_a_file_that_is_something_else_is_refused(scheme, tmp_path):
    (tmp_path / "notes.txt").write_text("not a study\n" * 100)
    with pytest.raises(StudyError, match=r"notes\.txt"):
        solve("random", f"{scheme}{tmp_path}/notes.txt", 3)


def test_two_runs_do_not_write_to_one_study(study):
    solve("random", study, 3)
    space, both = Space(Compilation(Problem.read(build(SPACE)))), []
    for _ in range(2):
        both.append(study_at(study))
        both[-1].begin(both[-1].identity, 1, space, (1,))
    one, other = both
    one.add([Evaluation(3, (0.5, 0, 0), {}, status=Status.FAILED)])
    with pytest.raises(StudyError, match="another run"):
        other.add([Evaluation(3, (0.25, 1, 0), {}, status=Status.FAILED)])
    one.close()
    other.close()


def test_a_stored_point_that_the_search_does_not_ask_for_is_an_error(study):
    solve("random", study, 6)
    file = Path(study)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    third = [line["system_attrs"]["bilevel"] for line in lines if "system_attrs" in line][2]
    third["point"] = [0.125, 0, 0]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(StudyError, match="cannot be continued: point 2"):
        solve("random", study, 6)


def test_the_end_of_the_budget_is_unknown_to_a_stored_run(study):
    with pytest.raises(OptionError, match="polish"):
        solve("rbf", study, 6, polish=True)


def test_a_method_that_is_no_search_says_that_it_stored_nothing(study):
    result = bilevel.solve(build("reals"), "kkt", study=study, workers=2, allow_nonconvex=True)
    assert sum("was not used" in note for note in result.notes) == 2
