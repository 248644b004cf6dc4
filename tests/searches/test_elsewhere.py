"""Workers that a program or a cluster gives: the same history as of as many processes here, whoever dies or is slow."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path

import optuna
import pyomo.environ as pyo
import pytest
from histories import told
from kept_studies import workshop

import bilevel
from bilevel.errors import OptionError
from bilevel.solvers.loop.crews import workers as crew_of_workers
from bilevel.solvers.pools import sending

HERE = Path(__file__).parent


class AtOnce(Executor):
    """Does each task when it is given; the worker of some of them dies."""

    _max_workers = 3

    def __init__(self, dies=lambda arguments: False):
        self.dies, self.tasks, self.parcels = dies, [], 0

    def submit(self, function, *arguments):
        future = Future()
        if function is sending.released:
            return future
        self.parcels += arguments[1] is not None
        self.tasks.append(arguments[3])
        if self.dies(arguments[3]):
            future.set_exception(BrokenExecutor("killed"))
        else:
            future.set_result(function(*arguments))
        return future


def test_any_executor_gives_one_history_and_the_model_travels_once():
    executor = AtOnce()
    once = bilevel.solve(workshop(), "rbf", budget=14, seed=2, executor=executor)
    assert executor.parcels == 1
    with ThreadPoolExecutor(2) as threads:
        other = bilevel.solve(workshop(), "rbf", budget=14, seed=2, executor=threads, workers=3)
    assert told(other) == told(once)
    assert len(told(once)) == 14
    with pytest.raises(OptionError, match=r"concurrent\.futures\.Executor"):
        bilevel.solve(workshop(), "rbf", budget=3, executor=3)
    with pytest.raises(OptionError, match="dask://host:port"):
        bilevel.solve(workshop(), "rbf", budget=3, workers="cluster://there")


def test_a_worker_that_dies_costs_its_own_point_after_a_second_try():
    calm = bilevel.solve(workshop(), "random", budget=9, seed=2, executor=AtOnce())
    deaths = []

    def kills(arguments):
        return 4 in [task[1] for task in arguments[0]]

    def once(arguments):
        deaths.append(kills(arguments))
        return deaths[-1] and deaths.count(True) == 1

    again = bilevel.solve(workshop(), "random", budget=9, seed=2, executor=AtOnce(once))
    assert told(again) == told(calm)
    dying = bilevel.solve(workshop(), "random", budget=9, seed=2, executor=AtOnce(kills))
    failed = dying.history[4]
    assert not failed.answered
    assert failed.message == "the worker process died at this point: killed"
    rest = [k for k in range(9) if k != 4]
    assert [told(dying)[k] for k in rest] == [told(calm)[k] for k in rest]


class Noting(ThreadPoolExecutor):
    """Two threads, and what was given to them; a worker with a certain point dies."""

    def __init__(self, kills=None):
        super().__init__(2)
        self.kills, self.tasks = kills, []

    def submit(self, function, *arguments):
        if function is sending.released:
            return Future()
        self.tasks.append([task[1] for task in arguments[3][0]])
        if self.kills not in self.tasks[-1]:
            return super().submit(function, *arguments)
        dead = Future()
        dead.set_exception(BrokenExecutor("killed"))
        return dead


def quick(x):
    """Of this file, so that it travels by its name."""
    time.sleep(0.002)
    return {"y": (x["a"] - 0.7) ** 2}


def quick_model():
    model = pyo.ConcreteModel()
    model.a = pyo.Var(bounds=(0, 1))
    model.lower = bilevel.LowerLevel(response=quick)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return model


def test_quick_points_travel_together_and_die_alone(monkeypatch):
    monkeypatch.setattr(crew_of_workers, "_WORTH", 10.0)  # on the slowest machine they are quick
    alone = told(bilevel.solve(quick_model(), "random", budget=90, seed=2))
    with Noting() as calm, Noting(kills=70) as dying:
        assert told(bilevel.solve(quick_model(), "random", budget=90, seed=2, executor=calm)) == alone
        killed = bilevel.solve(quick_model(), "random", budget=90, seed=2, executor=dying)
    assert len(calm.tasks) < 80
    assert {place for task in calm.tasks for place in task} == set(range(90))
    assert [e.index for e in killed.history if not e.answered] == [70]
    assert [told(killed)[k] for k in range(90) if k != 70] == [alone[k] for k in range(90) if k != 70]


def test_a_search_that_learns_has_one_point_a_task():
    with Noting() as executor:
        bilevel.solve(quick_model(), "rbf", budget=12, seed=2, executor=executor)
    assert {len(task) for task in executor.tasks} == {1}


def test_an_executor_that_takes_no_more_ends_the_run_with_its_reason(tmp_path):
    threads = ThreadPoolExecutor(2)
    threads.shutdown()
    with pytest.raises(OptionError, match="takes no more tasks"):
        bilevel.solve(workshop(), "rbf", budget=3, executor=threads)


RELEASE = threading.Event()


def hanging_once(x):
    """Of this file, so that it travels by its name."""
    if x["a"] == 0.25:
        RELEASE.wait(60)
    return {"y": (x["a"] - 0.7) ** 2}


def test_a_point_that_hangs_is_overtaken():
    """By a search that learns, where evaluations have a limit; and a run that goes on asks as this one did."""
    RELEASE.clear()
    model = pyo.ConcreteModel()
    model.a = pyo.Var(bounds=(0, 1))
    model.lower = bilevel.LowerLevel(response=hanging_once)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    first = [{"a": k / 8} for k in (0, 1, 4, 2)]  # the fourth hangs
    storage, reached = optuna.storages.InMemoryStorage(), []

    class Watching(ThreadPoolExecutor):
        def submit(self, function, *arguments):
            reached.append(arguments)
            if len(reached) > 14:  # so many are out beside the one that hangs
                RELEASE.set()
            return super().submit(function, *arguments)

    from bilevel.solvers.paths import search as outer_loop

    asked = {"budget": 20, "seed": 1, "enqueue": first}
    with pytest.MonkeyPatch.context() as patch, Watching(2) as executor:
        patch.setattr(outer_loop, "_limited", lambda problem: True)
        patch.setattr(sending, "_alone", contextlib.nullcontext())  # two threads of one process stand for two workers
        overtaken = bilevel.solve(model, "rbf", executor=executor, study=storage, **asked)
    assert len(overtaken.history) == 20
    assert overtaken.history[3].upper == {"a": 0.25}
    again = bilevel.solve(model, "rbf", executor=AtOnce(), workers=2, study=storage, **asked)
    assert told(again) == told(overtaken)


@contextlib.contextmanager
def dask_in_this_process():
    """A scheduler and one worker in a thread: no process starts, and nothing listens beyond this machine."""
    from distributed import Scheduler, Worker

    ready, end, place = threading.Event(), asyncio.Event(), []

    async def serve():
        place.append(asyncio.get_running_loop())
        told = {"host": "127.0.0.1", "dashboard": False}
        async with Scheduler(port=0, **told) as scheduler, Worker(scheduler.address, nthreads=1, **told):
            place.append(scheduler.address)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield f"dask://{place[1].removeprefix('tcp://')}"
    finally:
        place[0].call_soon_threadsafe(end.set)
        thread.join()


def test_a_dask_worker_in_this_process():
    pytest.importorskip("distributed")
    with dask_in_this_process() as address:
        there = bilevel.solve(workshop(), "random", budget=6, seed=2, workers=address)
    assert told(there) == told(bilevel.solve(workshop(), "random", budget=6, seed=2))


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def dask_cluster(folder, count, port=None):
    """A scheduler and workers as separate processes on free ports."""
    port = port or free_port()
    path = os.pathsep.join([str(HERE), str(HERE.parent), str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, "PYTHONPATH": path}}
    command = [sys.executable, "-m", "distributed.cli"]
    scheduler = [f"{command[2]}.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = [f"{command[2]}.dask_worker", f"127.0.0.1:{port}", "--no-nanny", "--nthreads", "1", "--no-dashboard"]
    worker += ["--local-directory", str(folder)]
    started = [subprocess.Popen([*command[:2], *scheduler], **quiet)]
    try:
        started += [subprocess.Popen([*command[:2], *worker], **quiet) for _ in range(count)]
        yield f"dask://127.0.0.1:{port}", started
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_scheduler_that_is_restarted_costs_no_point(tmp_path, monkeypatch):
    """What was out is given to the new one; where none comes the run ends with a word of it, and goes on later."""
    pytest.importorskip("distributed")
    from bilevel.solvers.pools import dask_cluster as pool

    study, port = f"{tmp_path}/study.log", free_port()
    asked = {"budget": 30, "seed": 2, "study": study, "workers": f"dask://127.0.0.1:{port}#1"}

    def killed_at(count, processes):
        while stored(study) < count:
            time.sleep(0.05)
        for process in processes:
            process.kill()

    def restarted():
        killed_at(5, first)
        with dask_cluster(tmp_path, 1, port) as (_, second):
            killed_at(12, second)

    with dask_cluster(tmp_path, 1, port) as (_, first):
        trouble = threading.Thread(target=restarted)
        trouble.start()
        monkeypatch.setattr(pool, "_PATIENCE", 10.0)
        with pytest.raises(OptionError, match="no Dask scheduler answers there"):
            bilevel.solve(slow_workshop(), "rbf", **asked)
        trouble.join()
    assert 12 <= stored(study) < 30
    with dask_cluster(tmp_path, 1, port):
        done = bilevel.solve(slow_workshop(), "rbf", **asked)
    assert told(done) == told(bilevel.solve(workshop(), "rbf", budget=30, seed=2))


def stored(study):
    return Path(study).read_bytes().count(b'"op_code":4') if os.path.exists(study) else 0


def slow_workshop():
    model = workshop()
    made = model.lower._response

    def slowly(x):
        time.sleep(0.2)
        return made(x)

    model.lower._response = slowly
    return model


@pytest.mark.slow
def test_a_dask_cluster_of_which_one_dies_and_one_is_slow(tmp_path):
    pytest.importorskip("distributed")
    calm = bilevel.solve(workshop(), "rbf", budget=30, seed=2, executor=AtOnce())
    with dask_cluster(tmp_path, 3) as (address, processes):
        whole = bilevel.solve(workshop(), "rbf", budget=30, seed=2, workers=f"{address}#3")
        assert told(whole) == told(calm)
        slow, dying = processes[1:3]

        def disturb():
            time.sleep(2)
            slow.send_signal(signal.SIGSTOP)
            dying.kill()
            time.sleep(2)
            slow.send_signal(signal.SIGCONT)

        trouble = threading.Thread(target=disturb)
        trouble.start()
        disturbed = bilevel.solve(slow_workshop(), "rbf", budget=30, seed=2, workers=f"{address}#3")
        trouble.join()
        assert told(disturbed) == told(calm)


@pytest.mark.slow
def test_where_no_scheduler_is_the_address_is_named(monkeypatch):
    pytest.importorskip("distributed")
    from bilevel.solvers.pools import dask_cluster as pool

    monkeypatch.setattr(pool, "_PATIENCE", 1.0)
    with pytest.raises(OptionError, match="no Dask scheduler answers there"):
        bilevel.solve(workshop(), "rbf", budget=3, workers="dask://127.0.0.1:9")
