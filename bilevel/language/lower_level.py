"""The lower level as a Pyomo component.

A :class:`LowerLevel` is a Pyomo ``Block`` with a ctype of its own. Variables declared on it are the follower's
decisions; every other variable its expressions mention is data to it. Because the ctype is its own, the writers of
Pyomo refuse a model that still holds one, instead of silently merging both levels into one.

In the notation of Dempe (2002), *Foundations of Bilevel Programming*, eq. (1.1): the follower solves
``min_y { f(x, y) : g(x, y) <= 0 }`` for the leader's ``x``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyomo.core.base.block import Block, BlockData
from pyomo.core.base.component import ModelComponentFactory
from pyomo.core.base.global_set import UnindexedComponent_index

from bilevel.errors import ModelError
from bilevel.scipy_alone import import_scipy_alone

import_scipy_alone()  # here, since whoever declares a follower comes by before anything of ours needs SciPy

ResponseFunction = Callable[..., Mapping[str, Any]]
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Limits:
    """What one call of a response function may take.

    Attributes
    ----------
    seconds : float or None
        After which it is ended.
    memory : int or None
        Bytes of its process.
    isolated : bool
        Whether it is called in a process of its own, without which neither can be promised.
    """

    seconds: float | None = None
    memory: int | None = None
    isolated: bool = False

    @classmethod
    def read(cls, seconds: float | None, memory: int | str | None, isolate: bool | None) -> Limits:
        """What a user asks for; a limit isolates.

        Raises
        ------
        ModelError
            If a limit is none, or stands beside ``isolate=False``.
        """
        limited = seconds is not None or memory is not None
        if limited and isolate is False:
            raise ModelError("isolate=False: only a process of its own can be ended at a limit; leave isolate out")
        if seconds is not None and not float(seconds) > 0.0:
            raise ModelError(f"time_limit={seconds!r}: seconds above 0 are needed")
        return cls(None if seconds is None else float(seconds), _bytes(memory), bool(isolate) or limited)


def _bytes(memory: int | str | None) -> int | None:
    if memory is None:
        return None
    found = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)B?\s*", str(memory), re.IGNORECASE)
    if found is None or not float(found[1]) > 0.0:
        raise ModelError(f"memory_limit={memory!r}: bytes above 0 are needed, or a text such as '2 GB'")
    return int(float(found[1]) * _UNITS[found[2].upper()])


class LowerLevelData(BlockData):
    """One follower: its variables, constraints and objective, or the function that answers for it."""


def response_of(follower: LowerLevelData) -> ResponseFunction | None:
    """The function that answers for a follower, or None; no attribute of his: all plain names are his components'."""
    function: ResponseFunction | None = follower.parent_component()._response
    return function


def limits_of(follower: LowerLevelData) -> Limits:
    """What one call of that function may take."""
    limits: Limits = follower.parent_component()._limits
    return limits


def steps_of(follower: LowerLevelData) -> int | None:
    """The steps of a whole training, where that function goes on from a state; None elsewhere."""
    steps: int | None = follower.parent_component()._steps
    return steps


@ModelComponentFactory.register("A follower: an optimization problem inside another.")
class LowerLevel(Block):
    """A follower, or an indexed family of followers.

    Parameters
    ----------
    *indexes
        Index sets, as for any Pyomo component: ``LowerLevel(model.K, rule=build)``.
    rule : callable, optional
        Builds each block, as for ``Block``.
    response : callable, optional
        ``function(x: dict) -> dict`` that maps the values of the upper variables, by name, to the values of this
        block's variables, for a follower that is not a mathematical program (training a model, a simulator). Keys of
        the answer are names relative to the block (``"w"``, ``"w[2]"``); a container's name may map to a sequence or a
        mapping over its index. For an indexed family the function is called as ``function(x, index)``. Where it takes
        one argument more, or one called ``trial``, that is the evaluation it is called in: it has
        ``report(value, step)``, ``should_prune()`` and ``seed`` (:mod:`bilevel.language.trials.trial`).
    steps : int, optional
        Of a whole training, where the function can go on from a state that it left: it is called as ``function(x,
        state, steps) -> (values, state)`` (an indexed family's as ``function(x, index, state, steps)``), with None for
        the state at the beginning. ``method="pbt"`` changes x on the way; every other method asks for all steps at
        once. The state is pickled, and holds whatever goes on, a generator of random numbers too.
    time_limit : float, optional
        Seconds that one call of the function may take; then it is ended, with all that it started: a failed point.
    memory_limit : int or str, optional
        Bytes that its process may use, or a text such as ``"2 GB"`` (Linux; elsewhere its addresses are counted).
    isolate : bool, optional
        Call the function in a process of its own, kept from call to call, so that a hang, a fault, ``os.abort`` or a
        leak costs one point. So it is wherever there is a limit. Otherwise the function runs within the search: what it
        raises is still a failed point, but nothing can end it in the midst of a library.
    **kwargs
        Whatever ``Block`` takes.

    Examples
    --------
    >>> import bilevel
    >>> import numpy as np
    >>> import pyomo.environ as pyo
    >>> from bilevel import LowerLevel
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var(bounds=(0, 10))
    >>> model.lower = LowerLevel()
    >>> model.lower.y = pyo.Var(bounds=(0, None))
    >>> model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x) ** 2)

    A family of followers, one per site, and a follower that answers by a function:

    >>> def site(block, k):
    ...     block.y = pyo.Var(bounds=(0, None))
    ...     block.obj = pyo.Objective(expr=(block.y - k * model.x) ** 2)
    >>> model.site = LowerLevel([1, 2], rule=site)
    >>> model.trained = LowerLevel(response=lambda x: {"loss": (x["x"] - 4) ** 2})
    >>> model.trained.loss = pyo.Var()
    >>> model.obj = pyo.Objective(expr=model.lower.y + model.site[1].y + model.site[2].y + model.trained.loss)
    >>> reply = bilevel.Response(model)(np.array([3.0]))
    >>> reply.y.round(6).tolist()  # 3, 3 and 6 from the programs, (3 - 4)^2 from the function
    [3.0, 3.0, 6.0, 1.0]
    """

    _ComponentDataClass = LowerLevelData
    _limits = Limits()
    _steps: int | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """A scalar component without index sets, else an indexed one."""
        if cls is not LowerLevel:
            return super().__new__(cls)
        if not args:
            return ScalarLowerLevel.__new__(ScalarLowerLevel)
        return IndexedLowerLevel.__new__(IndexedLowerLevel)

    def __init__(
        self,
        *args: Any,
        response: ResponseFunction | None = None,
        steps: int | None = None,
        time_limit: float | None = None,
        memory_limit: int | str | None = None,
        isolate: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if response is not None and not callable(response):
            raise TypeError(f"LowerLevel(response=...) takes a function, not {type(response).__name__}")
        asked = Limits.read(time_limit, memory_limit, isolate)
        if response is None and asked != Limits():
            raise ModelError("time_limit, memory_limit and isolate are for a follower that is a function: response=...")
        if steps is not None and response is None:
            raise ModelError("steps is for a follower that is a function: LowerLevel(response=f, steps=40)")
        if steps is not None and not (isinstance(steps, int) and steps > 0):
            raise ModelError(f"steps={steps!r}: a whole number above 0 is needed, the steps of a whole training")
        self._response = response
        if steps is not None:
            self._steps = steps
        if asked != Limits():
            self._limits = asked
        kwargs.setdefault("ctype", LowerLevel)
        Block.__init__(self, *args, **kwargs)


class ScalarLowerLevel(LowerLevelData, LowerLevel):
    """A single follower."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        LowerLevelData.__init__(self, self)  # type: ignore[call-arg]
        LowerLevel.__init__(self, *args, **kwargs)
        self._data[None] = self
        self._index = UnindexedComponent_index


class IndexedLowerLevel(LowerLevel):
    """A family of followers over an index set."""
