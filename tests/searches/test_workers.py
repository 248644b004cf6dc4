"""Several points at once: the same history whoever evaluates and however long it takes, and nobody left behind."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import contextmanager

import commands
import psutil
import pyomo.environ as pyo
import pytest
from left_behind import alive
from test_contract import SEARCHES, build, in_space
from test_study import StopAt, solve, told

import bilevel
from bilevel import Allowed, LowerLevel
from bilevel.contracts.search import Search
from bilevel.errors import OptionError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.solvers.loop.crews import hiring as crews
from bilevel.solvers.pools.interrupts import hearing_late
from bilevel.upper.space import Space


class Scrambled:
    """A crew in this process that finishes the newest point first."""

    most, count, busy = 0, 3, 0

    def __init__(self, problem, space, count, gradients, arrived):
        compilation = Compilation(problem)
        response = Response(problem, compilation=compilation, warm=False)
        self.evaluate = crews.Evaluate(space, response, crews.differentiator(compilation, gradients))
        self.arrived, self.waiting, self.done = arrived, [], {}

    def submit(self, point, index, start, terms=None):
        self.waiting.append((point, index, start, terms))
        Scrambled.most = max(Scrambled.most, len(self.waiting) + len(self.done))

    def take(self, deadline):
        oldest = min([task[1] for task in self.waiting] + list(self.done))
        while oldest not in self.done:
            point, index, start, terms = self.waiting.pop()
            self.done[index] = self.evaluate(point, index, start, terms)
            self.arrived(self.done[index])
        return self.done.pop(oldest)

    def finished(self):
        return [self.done[index] for index in sorted(self.done)]

    def close(self):
        pass


@pytest.fixture
def scrambled(monkeypatch):
    monkeypatch.setattr(crews, "Workers", Scrambled)
    Scrambled.most = 0


@pytest.mark.parametrize("search", SEARCHES)
def test_several_points_are_out_and_none_twice(search, scrambled):
    space = "reals" if search == "gradient" else "mixed"
    result = solve(search, None, 24, build(space), workers=3)
    points = [e.point for e in result.history]
    assert len(set(points)) == len(points) == 24
    assert [e.index for e in result.history] == list(range(24))
    for point in points:
        in_space(Space(Compilation(Problem.read(build(space)))), point)
    if search != "gradient":  # a descent is a sequence
        assert Scrambled.most == (3 if bilevel.registry.get(Search, search).learns else 24)


@pytest.mark.parametrize("search", ["grid", "random"])
def test_a_search_that_does_not_learn_has_one_history(search, scrambled):
    assert told(solve(search, None, workers=3)) == told(solve(search, None))


@pytest.mark.parametrize("search", SEARCHES)
def test_a_stopped_run_goes_on_with_any_number_of_workers(search, scrambled, tmp_path):
    """What was out when it stopped is asked for again, in the same order, whatever overtook what."""
    space = "reals" if search == "gradient" else "mixed"
    whole = solve(search, f"{tmp_path}/whole.log", model=build(space), workers=3)
    stopped = solve(search, f"{tmp_path}/study.log", model=build(space), workers=3, observer=StopAt(8))
    assert stopped.termination == "interrupted"
    assert stopped.evaluations >= 8
    kept = f"{tmp_path}/study.log"
    few = solve(search, kept, 10, build(space), workers=3)  # and what overtook the tenth, at the end
    assert told(few)[:10] == told(whole)[:10]
    assert {e.point for e in few.history} <= {e.point for e in whole.history}
    assert told(solve(search, kept, model=build(space), workers=3)) == told(whole)
    other = solve(search, kept, 26, build(space), workers=2)
    assert told(other)[:20] == told(whole)[:20]
    assert told(solve(search, kept, 30, build(space), workers=1))[:26] == told(other)


def demanding(path=None):
    """Lambdas, closures, a predicate, a category, and a follower that fails, or kills its process, where told to."""
    model = pyo.ConcreteModel()
    model.k = pyo.Var(within=pyo.Integers, bounds=(0, 9))
    model.c = pyo.Var(within=pyo.Set(initialize=["red", "green"]))
    model.even = Allowed([model.k], lambda k: k % 3 != 1)

    def answer(x):
        if x["k"] == 2:
            raise ValueError("not two")
        if x["k"] == 8 and path is not None and os.getpid() != path:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"y": (x["k"] - 4.3) ** 2 + (x["c"] == "red")}

    model.lower = LowerLevel(response=answer)
    model.lower.y = pyo.Var()
    model.scaled = pyo.Expression(rule=lambda m: 2 * m.lower.y)
    model.obj = pyo.Objective(rule=lambda m: m.scaled)
    return model


def test_who_evaluates_cannot_be_seen():
    alone = bilevel.solve(demanding(), "random", budget=10, seed=3)
    crowd = bilevel.solve(demanding(), "random", budget=10, seed=3, workers=2)
    assert told(crowd) == told(alone)
    assert any("ValueError: not two" in e.message for e in crowd.history)
    assert crowd.upper == alone.upper


@pytest.mark.slow
def test_a_worker_that_dies_is_a_failure_of_its_point():
    alone = bilevel.solve(demanding(), "random", budget=10, seed=3)
    crowd = bilevel.solve(demanding(os.getpid()), "random", budget=10, seed=3, workers=2)
    assert [e.point for e in crowd.history] == [e.point for e in alone.history]
    died = [e for e in crowd.history if e.upper["k"] == 8]
    assert died
    assert all(not e.answered and "worker process died" in e.message for e in died)
    fine = [k for k, e in enumerate(crowd.history) if e.upper["k"] != 8]
    assert [told(crowd)[k] for k in fine] == [told(alone)[k] for k in fine]


def test_an_engine_of_the_users_own_travels_along(monkeypatch):
    """It is registered in this process alone; a worker is told of it."""
    from bilevel import registry
    from bilevel.contracts.engine import Engine, Solver
    from bilevel.programs.answer import Answer, Status

    for name in registry.catalogue(Engine):
        registry.get(Engine, name)
    monkeypatch.setitem(registry._registered, Engine, dict(registry._registered[Engine]))

    class Constant(Solver):
        def __call__(self, parameters, start=None, time_limit=None):
            return Answer(Status.OPTIMAL, parameters[:1] * 0 + 0.5, 0.0, 0.0, True)

    @registry.register("users_own")
    class ConstantEngine(Engine):
        """Always says 0.5."""

        def suits(self, program):
            return 1.0

        def prepare(self, program):
            return Constant()

    result = bilevel.solve(build("reals"), "random", budget=3, workers=2)
    assert [list(e.lower.values()) for e in result.history] == [[0.5]] * 3


def test_a_model_that_cannot_travel_is_refused():
    model = demanding()
    held = threading.Lock()
    model.lower._response = lambda x: {"y": float(held.locked())}
    with pytest.raises(OptionError, match="take workers=1"):
        bilevel.solve(model, "random", budget=3, workers=2)


@pytest.mark.parametrize("workers", [0, -1])
def test_nobody_is_not_enough(workers):
    with pytest.raises(OptionError, match="at least one process"):
        bilevel.solve(build("reals"), "random", budget=3, workers=workers)


SLOW = """
import time
from contextlib import contextmanager
import pyomo.environ as pyo
from bilevel import LowerLevel

def answer(x):
    time.sleep(0.05)
    return {"y": square(x["a"])}

def square(a):  # of the user's own file, which no worker can import
    return a**2

model = pyo.ConcreteModel()
model.a = pyo.Var(bounds=(-1, 2))
model.lower = LowerLevel(response=answer)
model.lower.y = pyo.Var()
model.obj = pyo.Objective(expr=model.lower.y)
"""


@contextmanager
def working(tmp_path, budget, **settings):
    """The command line at work with two workers, once it has stored a few points; it, its study and its workers."""
    (tmp_path / "slow.py").write_text(SLOW)
    study = f"{tmp_path}/study.log"
    command = [sys.executable, "-m", "bilevel.solve", "slow.py", "--method", "random", "--budget", str(budget)]
    command += ["--workers", "2", "--json", "out.json", "--study", study]
    with commands.started(command, cwd=tmp_path, **settings) as run:
        commands.wait_for(lambda: len(stored(study)) >= 6 or run.poll() is not None)
        family = psutil.Process(run.pid).children(recursive=True)
        assert len(family) >= 2
        yield run, study, family


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    "how", [signal.SIGINT, *(pytest.param(how, marks=pytest.mark.slow) for how in (signal.SIGTERM, signal.SIGKILL))]
)
def test_ctrl_c_keeps_all_and_nobody_is_left(how, tmp_path):
    """A terminal sends Ctrl-C to the workers as well; kill and kill -9 reach the parent alone."""
    with working(tmp_path, 100_000) as (run, study, family):
        if how is signal.SIGINT:
            os.killpg(run.pid, how)
        else:
            os.kill(run.pid, how)
        _, err = run.communicate(timeout=commands.PATIENCE)
        commands.wait_for(lambda: not any(map(alive, family)))
        if how is signal.SIGINT:
            assert run.returncode == 130, err
            assert "Traceback" not in err
            found = json.loads((tmp_path / "out.json").read_text())
            assert found["termination"] == "interrupted"
            assert found["evaluations"] == len(stored(study)) >= 6


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_job_in_the_background_does_not_hear_the_terminals_ctrl_c(tmp_path):
    """``nohup python -m bilevel.solve ... &`` starts it with Ctrl-C ignored, as are its workers: it goes on to its end."""
    with working(tmp_path, 40, hears=False) as (run, study, family):
        os.killpg(run.pid, signal.SIGINT)
        _, err = run.communicate(timeout=commands.PATIENCE)
        assert (run.returncode, err) == (0, "")
        commands.wait_for(lambda: not any(map(alive, family)))
        assert json.loads((tmp_path / "out.json").read_text())["evaluations"] == len(stored(study)) == 40


def stored(study):
    """The lines of the journal that are trials."""
    if not os.path.exists(study):
        return []
    with open(study) as file:
        return [line for line in file if '"op_code":4' in line]


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signal masks")
def test_ctrl_c_while_workers_start_is_heard_when_they_have():
    reached = []

    def interrupted():
        with hearing_late():
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            reached.append(True)

    with commands.ctrl_c(), pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reached
