"""A short run of the adversary, and that its truth and its judge can be believed.

``make adversary MINUTES=60`` runs it for long.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from catalogue import FAMILIES
from contained_run import Outcome
from draw import Draw, integer, real
from judge import faults_of
from stated_problem import Follower, Stated, Variable
from truth import Truth, truth_of

HERE = Path(__file__).parent
X, Y = real("x", 0, 10), real("y", 0, 20)
TRACKING = Stated("by hand", 0, (X,), (Follower("low", (Y,), "(y - x)**2"),), "(x - 2)**2 + (y - 4)**2")


def wells(constant):
    plain = "(y**2 - 1)**2 + .05*(x + 2)*y"
    low = Follower("low", (real("y", -2, 2),), f"{plain} + {constant}", plain=plain)
    return Stated("by hand", 0, (real("x", -1, 1),), (low,), "(y - 1)**2 + x**2")


def budget():
    low = Follower("low", (real("s", 1e5, 1e6),), "4e6*s/(s + 8e5)", ("s <= B",), "maximize")
    return Stated("by hand", 0, (real("B", 1e5, 1e6),), (low,), "4e6*s/(s + 8e5) - 2*B", sense="maximize")


def in_pieces():
    w = Variable("w", "within=pyo.Set(initialize=[0]) | pyo.RangeSet(8, 9, 0)", ((0.0, 0.0), (8.0, 9.0)))
    return Stated("by hand", 0, (w,), (Follower("low", (Y,), "(y - w)**2"),), "(w - 4.4)**2 + y/2")


@pytest.mark.parametrize(
    ("problem", "value"),
    [
        (TRACKING, 2.0),
        (wells(1e6), 4.04909605),
        (budget(), 540355.743731),
        (in_pieces(), 16.96),
        (Stated("by hand", 0, (integer("x", 0.4, 3.7),), (Follower("low", (Y,), "(y - x)**2"),), "x + y/2"), 1.5),
    ],
)
def test_the_truth_knows_what_is_known(problem, value):
    assert truth_of(problem).value == pytest.approx(value, rel=1e-8)


def told(**fields):
    point = {"upper": {"x": 3.0}, "lower": {"low.y": 3.0}, "upper_objective": 2.0, "bound": None}
    return Outcome(result={"verdict": "best_found", **point, **fields})


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (told(), None),
        (told(verdict="certified_global", bound=2.0), None),
        (told(verdict="infeasible"), "false_infeasible"),
        (told(verdict="unbounded"), "false_unbounded"),
        (told(bound=2.5), "false_bound"),
        (told(upper_objective=1.0), "wrong_F"),
        (told(lower={"low.y": 3.2}, upper_objective=1.64), "not_optimal_below"),
        (told(upper={"x": 10.5}, lower={"low.y": 10.5}, upper_objective=114.5), "outside"),
        (
            told(
                verdict="certified_global",
                bound=5.0,
                upper_objective=5.0,
                upper={"x": 4.2247448},
                lower={"low.y": 4.2247448},
            ),
            "false_certificate",
        ),
        (told(upper={"x": float("nan")}), "no_number"),
        (Outcome(crash="Traceback\nKeyError: 3"), "traceback"),
        (Outcome(cpu=5.0), "overrun"),
        (Outcome(ended=True, cpu=9.0), "no_end"),
        (Outcome(left=["cc1"]), "process_left"),
    ],
)
def test_the_judge_sees_a_wrong_word(outcome, kind):
    truth = Truth(2.0, {"x": 3.0, "y": 3.0}, spread=65.0)
    kinds = {fault.kind for fault in faults_of(TRACKING, truth, outcome, 2.0)}
    assert kinds == ({kind} if kind else set())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_drawn_again_and_read_by_pyomo(name):
    for seed in range(8):
        problem = FAMILIES[name](Draw(name, seed))
        assert problem == FAMILIES[name](Draw(name, seed))
        compile(problem.script("auto", {"seed": 1}), name, "exec")


QUICK = (
    "tracking,quantile,budget,loss_rows,agreeing,reciprocal,interdiction,softplus,linear,jump,row_forms,integer_below"
)


def adversary(folder, *arguments):
    """In a process of its own: it forks, and the suite's own process has threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, HERE / "run.py", "--out", folder, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900, check=False)


def test_a_short_run_finds_nothing(tmp_path):
    few = ["--start", "0", "--seeds", "10", "--limit", "1", "--methods", "auto", "--minutes", "0.1"]
    done = adversary(tmp_path, "--families", QUICK, *few)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "runs" in done.stdout


@pytest.mark.slow
def test_what_was_found_once_is_not_found_again(tmp_path):
    """``found.jsonl``: the problems that brought out a wrong word, with the method that spoke."""
    done = adversary(tmp_path, "--again", str(HERE / "found.jsonl"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_longer_run_finds_nothing(tmp_path):
    done = adversary(tmp_path, "--minutes", "5")
    assert done.returncode == 0, done.stdout + done.stderr
