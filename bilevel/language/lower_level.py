"""The lower level as a Pyomo component.

A :class:`LowerLevel` is a Pyomo ``Block`` with a ctype of its own. Variables declared on it are the follower's
decisions; every other variable its expressions mention is data to it. Because the ctype is its own, the writers of
Pyomo refuse a model that still holds one, instead of silently merging both levels into one.

In the notation of Dempe (2002), *Foundations of Bilevel Programming*, eq. (1.1): the follower solves
``min_y { f(x, y) : g(x, y) <= 0 }`` for the leader's ``x``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyomo.core.base.block import Block, BlockData
from pyomo.core.base.component import ModelComponentFactory
from pyomo.core.base.global_set import UnindexedComponent_index

ResponseFunction = Callable[..., Mapping[str, Any]]


class LowerLevelData(BlockData):
    """One follower: its variables, constraints and objective, or the function that answers for it."""

    @property
    def response(self) -> ResponseFunction | None:
        """The function that gives this follower's answer, or None where an optimization problem does."""
        function: ResponseFunction | None = self.parent_component()._response
        return function


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

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """A scalar component without index sets, else an indexed one."""
        if cls is not LowerLevel:
            return super().__new__(cls)
        if not args:
            return ScalarLowerLevel.__new__(ScalarLowerLevel)
        return IndexedLowerLevel.__new__(IndexedLowerLevel)

    def __init__(self, *args: Any, response: ResponseFunction | None = None, **kwargs: Any) -> None:
        if response is not None and not callable(response):
            raise TypeError(f"LowerLevel(response=...) takes a function, not {type(response).__name__}")
        self._response = response
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
