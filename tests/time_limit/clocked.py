"""One run in a process of its own, which is ended if it does not end: what it found, and what it cost."""

import multiprocessing
import resource
import time
import warnings
from dataclasses import dataclass

import bilevel
from bilevel.errors import BilevelError

_FORK = multiprocessing.get_context("fork")


@dataclass
class Run:
    """What a run came to: ``cpu`` counts this process and those it started, the background compiler left out."""

    verdict: str
    termination: str
    seconds: float
    cpu: float
    notes: list
    value: float | None = None


def clocked(make, method, limit, patience=60.0, **options):
    """Run ``bilevel.solve(make(), method, time_limit=limit)``; None where it does not end within the patience."""
    ours, theirs = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_run, args=(theirs, make, method, limit, options))
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(patience) else None
    finally:
        process.kill()
        process.join()


def _cpu():
    mine = resource.getrusage(resource.RUSAGE_SELF)
    return mine.ru_utime + mine.ru_stime


def _run(pipe, make, method, limit, options):
    model = make()
    warnings.simplefilter("default")
    cpu, began = _cpu(), time.monotonic()
    try:
        result = bilevel.solve(model, method, time_limit=limit, **options)
        found = str(result.verdict), str(result.termination), list(result.notes), result.upper_objective
    except BilevelError as error:
        found = "refused", "", [str(error)], None
    verdict, termination, notes, value = found
    pipe.send(Run(verdict, termination, time.monotonic() - began, _cpu() - cpu, notes, value))
    pipe.close()
