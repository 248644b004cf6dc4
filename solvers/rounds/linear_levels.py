"""Two levels that are linear, with integers on either: what the ways of solving them start from."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from bilevel.errors import RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Shape
from bilevel.reading.problem import Problem
from bilevel.solvers.rounds.implied_bounds import Box, implied_bounds
from bilevel.solvers.rounds.linear_answer import LinearFollower
from bilevel.solvers.rounds.linear_numbers import Numbers, numbers_of
from bilevel.solvers.single_level.high_point import HighPoint


class LinearLevels:
    """Both levels as linear programs over the same variables.

    Parameters
    ----------
    problem : Problem
        The bilevel problem.

    Attributes
    ----------
    high_point : HighPoint
        Both levels' rows, nobody's optimality.
    binary : ndarray of bool
        Which of its variables are binary.
    x_places : list of int or None
        Where the leader's variables stand among them.
    followers : dict
        By name.

    Raises
    ------
    RefusedError
        If anything is not linear; F may be quadratic.
    """

    def __init__(self, problem: Problem) -> None:
        self.high_point = HighPoint(problem)
        program, places = self.high_point.program, self.high_point.places
        if program.shape is Shape.NONLINEAR:
            raise RefusedError("the upper level is not linear (or F quadratic); use method='value_function'")
        self._coupled = bool(problem.coupling)
        self.binary = program.integer & (program.lower == 0.0) & (program.upper == 1.0)
        self.x_places = [places.get(var.name) for var in problem.variables]
        self.followers = {
            name: LinearFollower(p, self.x_places, [places[n] for n in p.names], self.binary)
            for name, p in Compilation.of(problem).programs.items()
        }

    @cached_property
    def numbers(self) -> Numbers | None:
        """Of the high-point problem, where F is linear as well."""
        return numbers_of(self.high_point.program)

    @property
    def only_follower(self) -> LinearFollower | None:
        """The follower, where there is but one and no row of the leader's speaks of his answer."""
        return None if self._coupled or len(self.followers) != 1 else next(iter(self.followers.values()))

    def box(self, seconds: float) -> Box:
        """The ranges of all variables, some linear programs solved for them.

        Raises
        ------
        RefusedError
            If a follower's integer has none.
        """
        box = implied_bounds(self.high_point.program, seconds)
        for follower in self.followers.values():
            for place in follower.places[follower.integer]:
                if not (np.isfinite(box.lower[place]) and np.isfinite(box.upper[place])):
                    raise RefusedError(
                        f"{self.high_point.program.names[place]} is integer and nothing bounds it: there may be"
                        " infinitely many answers to enumerate; give it bounds"
                    )
        return box
