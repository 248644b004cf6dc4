"""Followers that are functions: a training run, a simulator."""

from __future__ import annotations

from typing import Any

import numpy as np

from bilevel.deadline import OutOfTime
from bilevel.errors import ModelError, OptionError
from bilevel.programs.answer import Answer, Status
from bilevel.reading.follower import Follower
from bilevel.response.answer_shape import AnswerShape
from bilevel.response.isolation.warm import called


class FunctionAnswering:
    """A follower whose answer is a Python function of the upper values by name."""

    def __init__(self, follower: Follower) -> None:
        if follower.response is None:
            raise ModelError(f"{follower.name} has no response function")
        self._follower = follower
        self._function = follower.response
        self._limits = follower.block.limits
        self._index = follower.block.index() if follower.block.parent_component().is_indexed() else None
        self._shape = AnswerShape(follower)

    def __call__(self, upper: dict[str, Any]) -> Answer:
        """Call the function; what it raises, and a number that is not finite, is a failure of that point.

        Raises
        ------
        AnswerError
            If its answer is of another shape than the follower's variables.
        OptionError
            If it is to be isolated and cannot travel.
        """
        arguments = (upper,) if self._index is None else (upper, self._index)
        try:
            if self._limits.isolated:
                kind, reply = called(self._function, self._limits, arguments)
                if kind == "failed":
                    return Answer(Status.FAILED, message=reply)
            else:
                reply = self._function(*arguments)
        except (KeyboardInterrupt, OutOfTime, OptionError):
            raise
        except BaseException as error:  # SystemExit too: a script that leaves its process means its own, not the search
            return Answer(Status.FAILED, message=f"{type(error).__name__}: {error}")
        y = self._shape.vector(reply)
        if not np.isfinite(y).all():
            place = int(np.argmin(np.isfinite(y)))
            name = self._follower.variables[place].name
            message = f"the response function of {self._follower.name} gave no number for {name}: {y[place]}"
            return Answer(Status.FAILED, y, message=message)
        return Answer(Status.OPTIMAL, y, np.nan, np.nan, True)
