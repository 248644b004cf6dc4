"""What a path must be able to do: from a problem to a finding."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from bilevel.contracts.part import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bilevel.contracts.finding import Finding
    from bilevel.contracts.observer import Observer
    from bilevel.contracts.settings import Settings
    from bilevel.reading.problem import Problem


class Path(Part):
    """A walk from problem to finding: the search path's loop, the KKT path. A new one is a file in ``solvers``."""

    preference: ClassVar[float] = 0.0
    """``auto`` tries paths in falling order of this, never one at 0. Above 0 belong paths that prove."""

    share: ClassVar[float] = 1.0
    """What it gets of the time limit in ``auto``, where a search follows if it brings home no proof."""

    pessimistic: ClassVar[bool] = False
    """Whether it finds the worst of the follower's optima itself. Others are given a pessimistic problem only where
    the follower's answer is proved unique, so that both attitudes mean the same."""

    multipliers: ClassVar[bool] = False
    """Whether it takes problems whose upper level mentions a lower constraint's multiplier (``dual_of``)."""

    evaluates: ClassVar[bool] = False
    """Whether it evaluates upper points one by one, as a search does: workers and studies are its own as well, and it
    has all the time there is."""

    options: ClassVar[Mapping[str, type]] = {}
    """The options it takes, by name, and their types."""

    conditions: ClassVar[bool] = False
    """Whether conditional upper variables (``ActiveWhen``) rest where they are inactive. To the others they are free
    everywhere, and problems where that makes a difference are refused for them."""

    losses: ClassVar[bool] = False
    """Whether it takes losses over rows that are kept as arrays (``rows_of``)."""

    @abstractmethod
    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        """Solve the problem.

        Raises
        ------
        RefusedError
            If this path does not accept the problem.
        """
