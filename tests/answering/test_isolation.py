"""Response functions that cannot be trusted: each way to break out costs its own point, and nothing is left of it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import commands
import psutil
import pyomo.environ as pyo
import pytest
from left_behind import alive

import bilevel
from bilevel import LowerLevel
from bilevel.errors import ModelError, OptionError
from bilevel.language.lower_level import Limits
from bilevel.response.isolation import warm
from bilevel.response.isolation.cell import Cell, Died

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups")
HANG, EXIT, ABORT, FAULT, LEAVE, RAISE, MOVE, PRINT, THREAD, FORK, LAMBDA = range(11)
HERE = os.getcwd()


def misbehaving():
    """Functions made here travel by value, so that their processes need not import this file."""
    kinds, here = range(11), os.getcwd()
    hang, leave_by, abort, fault, leave, fail, move, talk, thread, fork, no_number = kinds

    def misbehaved(x):
        """Whatever is asked for; else the square, and the process it was computed in."""
        kind = x["k"]
        print("at", kind)
        if kind == hang:
            time.sleep(1000)
        elif kind == leave_by:
            sys.exit(3)
        elif kind == abort:
            os.abort()
        elif kind == fault:
            ctypes.string_at(0)
        elif kind == leave:
            os._exit(7)
        elif kind == fail:
            raise ValueError("not this one")
        elif kind == move:
            os.chdir("/")
        elif kind == talk:
            os.write(1, b"x" * 300_000 + b"\n")
        elif kind == thread:
            threading.Thread(target=time.sleep, args=(1000,)).start()
        elif kind == fork and os.fork() == 0:
            return {"y": -100.0, "process": 0}
        elif kind == no_number:
            return {"y": lambda: 0, "process": 0}
        return {"y": kind**2 + (os.getcwd() != here and kind != move), "process": os.getpid()}

    return misbehaved


def model_of(function, last, **limits):
    model = pyo.ConcreteModel()
    model.k = pyo.Var(within=pyo.Integers, bounds=(0, last))
    model.lower = LowerLevel(response=function, **limits)
    model.lower.y = pyo.Var()
    model.lower.process = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return model


def test_each_way_to_break_out_costs_one_point():
    result = bilevel.solve(model_of(misbehaving(), 12, time_limit=1.5, memory_limit="4 GB"), "grid", budget=20)
    told = {e.upper["k"]: e for e in result.history}
    failed = {kind: e.message for kind, e in told.items() if not e.answered}
    assert failed.keys() == {HANG, EXIT, ABORT, FAULT, LEAVE, RAISE, LAMBDA}
    assert "longer than the 1.5 s" in failed[HANG]
    assert "SystemExit: 3" in failed[EXIT]
    assert "SIGABRT" in failed[ABORT]
    assert "SIGSEGV" in failed[FAULT]
    assert "exit code 7" in failed[LEAVE]
    assert "ValueError: not this one" in failed[RAISE]
    assert "cannot be handed over" in failed[LAMBDA]
    assert all(f"it printed last: at {kind}" in failed[kind] for kind in failed)
    assert all(told[kind].lower["lower.y"] == kind**2 for kind in (MOVE, PRINT, THREAD, FORK, 11, 12))
    served = {kind: told[kind].lower["lower.process"] for kind in (MOVE, PRINT, THREAD, FORK, 11, 12)}
    assert served[MOVE] == served[PRINT] == served[THREAD] != served[FORK]  # a thread goes on in that one
    assert served[11] == served[12] != os.getpid()
    assert os.getcwd() == HERE
    assert result.upper["k"] == MOVE


def hanging():
    def hang(x):
        subprocess.Popen(["sleep", "1000"])
        time.sleep(1000)

    return hang


def test_what_a_function_started_ends_with_it_and_the_run_with_its_limit():
    began = time.monotonic()
    result = bilevel.solve(
        model_of(hanging(), 12, isolate=True), "random", budget=99, time_limit=4, evaluation_time_limit=0.4
    )
    assert result.termination == "time_limit"
    assert all("longer than the 0.4 s" in e.message for e in result.history)
    assert len(result.history) <= 15
    assert time.monotonic() - began < 60
    assert not [p for p in psutil.Process().children(recursive=True) if alive(p) and p.name() == "sleep"]


def greedy():
    def grow(x):
        held = []
        while x["k"] == 1:
            held.append(bytearray(100_000_000))
        return {"y": 1.0, "process": os.getpid()}

    return grow


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts what is written to")
def test_memory_is_limited():
    result = bilevel.solve(model_of(greedy(), 2, memory_limit="300 MB"), "grid", budget=3)
    assert [e.answered for e in result.history] == [True, False, True]
    assert "MemoryError" in result.history[1].message


def test_a_process_that_served_others_is_not_blamed_on_the_point():
    """What a warm process dies of may be of an earlier point: a fresh one is asked once more."""
    calls = []

    def second_call_kills(x):
        calls.append(x)
        if len(calls) == 2:
            os.abort()
        return {"y": float(len(calls)), "process": 0}

    result = bilevel.solve(model_of(second_call_kills, 3, isolate=True), "grid", budget=4)
    assert all(e.answered for e in result.history)
    assert not calls


def test_limits_isolate_and_nothing_else_takes_them():
    assert Limits.read(None, None, None) == Limits()
    assert Limits.read(3, None, None) == Limits(3.0, None, True)
    assert Limits.read(None, "1.5 GB", None).memory == 1_500_000_000
    with pytest.raises(ModelError, match="leave isolate out"):
        LowerLevel(response=hanging(), time_limit=3, isolate=False)
    with pytest.raises(ModelError, match="memory_limit='much'"):
        LowerLevel(response=hanging(), memory_limit="much")
    with pytest.raises(ModelError, match="follower that is a function"):
        LowerLevel(time_limit=3)


def test_a_function_that_cannot_travel_is_refused_by_its_reason():
    lock = threading.Lock()
    model = model_of(lambda x: {"y": float(lock.locked()), "process": 0}, 3, isolate=True)
    with pytest.raises(OptionError, match="process of its own"):
        bilevel.solve(model, "grid", budget=3)


def test_the_processes_of_a_run_that_is_killed_end_with_it(tmp_path):
    """kill -9 reaches the run alone; what hangs in a library that holds Python's lock hears nothing."""
    program = """
import ctypes, os, sys
from bilevel.language.lower_level import Limits
from bilevel.response.isolation import warm

def stuck(x):
    ctypes.PyDLL(None).sleep(1000)

warm.called(stuck, Limits(isolated=True), (1,))
"""
    (tmp_path / "program.py").write_text(program)
    with commands.started([sys.executable, "program.py"], cwd=tmp_path) as run:
        here = psutil.Process(run.pid)
        commands.wait_for(lambda: run.poll() is not None or len(here.children()) == 2)
        assert run.poll() is None
        family = here.children(recursive=True)
        os.kill(run.pid, signal.SIGKILL)
        run.communicate(timeout=commands.PATIENCE)
        commands.wait_for(lambda: not any(map(alive, family)))


def test_a_call_costs_little():
    """Less than starting a process by far; the figure stands in docs/benchmarks.md."""

    def echo(x):
        return x

    with warm.ended_afterwards():
        first = time.perf_counter()
        assert warm.called(echo, Limits(isolated=True), (1,)) == ("answer", 1)
        begin = time.perf_counter()
        for k in range(200):
            assert warm.called(echo, Limits(isolated=True), (k,)) == ("answer", k)
        assert (time.perf_counter() - begin) / 200 < begin - first


def test_a_death_says_how():
    cell = Cell(os._exit, Limits(isolated=True))
    with pytest.raises(Died, match="exit code 5"):
        cell.ask((5,))
    cell.end()
    cell.end()
