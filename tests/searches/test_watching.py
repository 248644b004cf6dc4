"""Who watches a run: callbacks in Optuna's manner, the progress line, and whoever presses Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import commands
import optuna
import pytest
from histories import told
from kept_studies import workshop

import bilevel


@pytest.mark.parametrize("kept", [False, True])
def test_callbacks_see_each_outcome_and_change_nothing(kept, tmp_path):
    study, seen = f"{tmp_path}/study.log" if kept else None, []

    def look(study, trial):
        seen.append((trial.number, trial.params, trial.value, len(study.trials), study.direction.name))

    def solve(budget, **more):
        return bilevel.solve(workshop(), "rbf", budget=budget, seed=2, study=study, **more)

    result = solve(8, callbacks=[look])
    expected = [(e.index, e.upper, e.upper_objective if e.answered else None) for e in result.history]
    assert [one[:3] for one in seen] == expected
    assert [one[3:] for one in seen] == [(k + 1, "MAXIMIZE") for k in range(8)]
    assert told(result) == told(solve(8))
    if kept:
        solve(10, callbacks=[look])
        assert [one[0] for one in seen] == list(range(10))  # what was stored is not called for again


def test_a_callback_may_stop_the_run():
    result = bilevel.solve(
        workshop(), "rbf", budget=30, seed=2, callbacks=[optuna.study.MaxTrialsCallback(4, states=None)]
    )
    assert result.termination == "interrupted"
    assert result.evaluations == 4
    assert result.verdict == "best_found"


STEADY = """
import os, time
import pyomo.environ as pyo
from bilevel import LowerLevel

def answer(x):
    open(f"begun_{os.getpid()}_{time.monotonic_ns()}", "w").close()
    time.sleep(DURATION)
    return {"y": x["a"] ** 2}

model = pyo.ConcreteModel()
model.a = pyo.Var(bounds=(-1, 2))
model.lower = LowerLevel(response=answer)
model.lower.y = pyo.Var()
model.obj = pyo.Objective(expr=model.lower.y)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("duration", "presses"), [(0.4, 1), pytest.param(600, 2, marks=pytest.mark.slow)])
def test_ctrl_c_once_finishes_what_runs_and_twice_does_not(duration, presses, tmp_path):
    (tmp_path / "steady.py").write_text(STEADY.replace("DURATION", str(duration)))
    command = [sys.executable, "-m", "bilevel.solve", "steady.py", "--method", "random", "--budget", "1000"]
    command += ["--json", "out.json", "--study", "study.log"]
    with commands.started(command, cwd=tmp_path) as run:
        commands.wait_for(lambda: list(tmp_path.glob("begun_*")) or run.poll() is not None)
        for _ in range(presses):
            os.killpg(run.pid, signal.SIGINT)
            time.sleep(0.5)  # two at once are one to the system
        _, err = run.communicate(timeout=commands.PATIENCE)
    assert run.returncode == 130, err
    assert "Traceback" not in err
    found = json.loads((tmp_path / "out.json").read_text())
    begun = len(list(tmp_path.glob("begun_*")))
    if presses == 1:
        verified = 3  # the answer is asked for again, at most so often
        assert 1 <= found["evaluations"] <= begun <= found["evaluations"] + verified
    else:
        assert (found["evaluations"], begun) == (0, 1)
