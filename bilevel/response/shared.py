"""Points answered by several workers that share them."""

from __future__ import annotations

import re
from concurrent.futures import BrokenExecutor, Future
from typing import Any, Protocol

import numpy as np

from bilevel import registry
from bilevel.arrays import Array
from bilevel.contracts.pool import Pool
from bilevel.programs.answer import Status
from bilevel.reading.problem import Problem
from bilevel.response.replies import Reply

_PARTS = 4  # of the points, per worker: none waits long for another that has the slower ones
_POOL = "processes"


class Answers(Protocol):
    """The response that a worker holds."""

    def tried(self, x: Array) -> Reply:
        """The followers' answer at one upper point."""


def answers(problem: Problem, rows: Array, count: int) -> list[Reply]:
    """The followers' answers at many upper points, shape (n, number of upper variables), by so many workers.

    Where a worker dies, what it was at is tried once more by one of its own; points of which that dies as well failed.
    """
    parts = np.array_split(rows, max(1, min(len(rows), _PARTS * count)))
    crowd = registry.get(Pool, _POOL)(problem, None, count)
    try:
        futures = [crowd.submit(_one_by_one, part) for part in parts]
        found = [_outcome(future, part, crowd) for future, part in zip(futures, parts, strict=True)]
    finally:
        crowd.close()
    return [reply for replies in found for reply in replies]


def _one_by_one(response: Answers, _: Any, rows: Array) -> list[Reply]:
    """In a worker."""
    return [response.tried(x) for x in rows]


def cause_of_death(error: BrokenExecutor) -> str:
    """The signal or exit code where the pool names one, else all that it says."""
    text = " ".join(str(error).split())
    codes = re.search(r"exit codes of the workers are \{(.+?)\}", text)
    return text if codes is None else codes[1]


def _outcome(future: Future[list[Reply]], rows: Array, crowd: Pool) -> list[Reply]:
    try:
        return future.result()
    except BrokenExecutor:
        alone = crowd.anew(1)
    try:
        found: list[Reply] = alone.submit(_one_by_one, rows).result()
        return found
    except BrokenExecutor as error:
        message = f"the worker process died at one of these points: {cause_of_death(error)}"
        return [Reply(Status.FAILED, message=message) for _ in rows]
    finally:
        alone.close()
