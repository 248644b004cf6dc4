"""The background compiler is a guest: one at a time, niced, ended with the program that wanted it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import casadi as ca
import numpy as np
import pytest

import bilevel
from bilevel.deadline import Deadline, within
from bilevel.graphs import native
from bilevel.graphs.compiled import Compiled
from bilevel.graphs.native_source import in_parts


@pytest.fixture(autouse=True)
def cache(machine_code):
    return machine_code


def graph(length, seed=0):
    rng = np.random.default_rng(seed)
    x = ca.SX.sym("x", 5)
    nodes = ca.vertsplit(x)
    for _ in range(length):
        i, j = rng.integers(max(0, len(nodes) - 40), len(nodes), 2)
        nodes.append(ca.sin(nodes[i]) * nodes[j] + 0.1)
    return ca.Function("f", [x], [ca.vertcat(*nodes[-20:]), nodes[-1]])


def source(function):
    generator = ca.CodeGenerator("f.c")
    generator.add(function)
    return generator.dump()


def test_parts_give_the_same_bits(tmp_path):
    function = graph(300)
    text = in_parts(source(function), 50)
    assert text.count("static void part_") == -(-function.n_instructions() // 50)
    (tmp_path / "f.c").write_text(text)
    library = tmp_path / "f.so"
    subprocess.run(
        ["cc", "-O1", *native._FLAGS, str(tmp_path / "f.c"), "-o", str(library), "-lm"], check=True, timeout=60
    )
    point = np.linspace(0.1, 0.9, 5)
    for ours, theirs in zip(ca.external("f", str(library))(point), function(point), strict=True):
        np.testing.assert_array_equal(ours.full(), theirs.full())


def test_a_short_function_stays_as_it_is():
    text = source(graph(10))
    assert in_parts(text) == text


def test_there_is_one_at_a_time_and_it_is_niced():
    first, second = native.Native(graph(3000)), native.Native(graph(3000, seed=1))
    first.make()
    second.make()
    try:
        assert first._job is not None
        assert second._job is None
        assert second.pending
        pids = subprocess.run(
            ["ps", "-o", "ni=,args=", "-g", str(first._job._process.pid)], capture_output=True, text=True
        ).stdout
        assert all(line.split()[0] == "19" for line in pids.splitlines() if "f.so" in line and "sh -c" not in line)
    finally:
        first._job.close()
    until = time.monotonic() + 20.0
    while second._job is None and time.monotonic() < until:  # the lock is free once the first has ended
        second.make()
        time.sleep(0.05)
    assert second._job is not None
    second._job.close()


def test_none_is_begun_that_would_not_end_in_time():
    library = native.Native(graph(3000))
    with within(Deadline.after(0.1)):
        library.make()
    assert library._job is None


def test_none_is_begun_before_so_many_calls_that_it_is_worth_it():
    x = ca.SX.sym("x", 5)
    compiled = Compiled([x], graph(3000).call([x]))
    for _ in range(3):
        compiled._quicken()
    assert compiled._made < compiled._native.worth
    assert compiled._native._job is None


WANTS_ONE = """
import os, sys, time
sys.path.insert(0, {tests!r})
from test_native import graph
from bilevel.graphs.native import Native
library = Native(graph(8000))
library.make()
print(library._job._process.pid, flush=True)
time.sleep(0.2)
if {kill}:
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("kill", [False, True])
def test_none_survives_the_program_that_wanted_it(cache, kill):
    code = WANTS_ONE.format(tests=str(Path(__file__).parent), kill=kill)
    path = os.pathsep.join([str(Path(bilevel.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    group = int(done.stdout)
    until = time.monotonic() + 5.0
    while alive(group) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(group)
    assert [entry.name for entry in cache.iterdir()] == ["compiling.lock"]


def alive(group):
    try:
        while os.waitpid(-group, os.WNOHANG)[0]:  # the suite adopts orphans: one that has ended waits to be asked
            pass
    except ChildProcessError:
        pass
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
