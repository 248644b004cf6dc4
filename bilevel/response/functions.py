"""Followers that are functions: a training run, a simulator."""

from __future__ import annotations

from typing import Any

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.deadline import OutOfTime
from bilevel.errors import AnswerError, ModelError, OptionError, with_its_kind
from bilevel.language.trials.argument import arguments_of, trial_argument
from bilevel.language.trials.handing import WithTrial
from bilevel.language.trials.trial import current, is_pruned, terms_now
from bilevel.programs.answer import Answer, Status
from bilevel.reading.follower import Follower
from bilevel.reading.pieces import numeric_bounds
from bilevel.response.answer_shape import AnswerShape
from bilevel.response.isolation.trials import tried
from bilevel.response.isolation.warm import called


class FunctionAnswering:
    """A follower whose answer is a Python function of the upper values by name."""

    def __init__(self, follower: Follower) -> None:
        if follower.response is None:
            raise ModelError(f"{follower.name} has no response function")
        self._follower = follower
        self._function = follower.response
        self._limits = follower.limits
        self._index = follower.block.index() if follower.block.parent_component().is_indexed() else None
        self._steps = follower.steps
        self._trial = trial_argument(self._function, arguments_of(follower.block))
        self._there = WithTrial(self._function, self._trial or "")
        self._shape = AnswerShape(follower)
        ends = (numeric_bounds(var) for var in follower.variables)
        low, high = zip(*((-np.inf if a is None else a, np.inf if b is None else b) for a, b in ends), strict=True)
        self._low, self._high = np.array(low, dtype=float), np.array(high, dtype=float)

    def __call__(self, upper: dict[str, Any]) -> Answer:
        """Call the function; what it raises, a number that is not finite or breaks its bound, is a failed point.

        Raises
        ------
        AnswerError
            If its answer is of another shape than the follower's variables.
        OptionError
            If it is to be isolated and cannot travel.
        """
        arguments = (upper,) if self._index is None else (upper, self._index)
        leg = None if self._steps is None else terms_now().leg
        try:
            if self._steps is not None:
                state = None if leg is None else leg.state(self._follower.name)
                arguments = (*arguments, state, self._steps if leg is None else leg.steps)
            reply = self._isolated(arguments) if self._limits.isolated else self._asked(arguments)
            if isinstance(reply, Answer):
                return reply
        except (KeyboardInterrupt, OutOfTime, OptionError):
            raise
        except BaseException as error:  # SystemExit too: a script that leaves its process means its own, not the search
            status = Status.PRUNED if is_pruned(error) else Status.FAILED
            return Answer(status, message=with_its_kind(error))
        state = None
        if self._steps is not None:
            reply, state = self._parted(reply)
        y = self._shape.vector(reply)
        if not np.isfinite(y).all():
            place = int(np.argmin(np.isfinite(y)))
            name = self._follower.variables[place].name
            message = f"the response function of {self._follower.name} gave no number for {name}: {y[place]}"
            return Answer(Status.FAILED, y, message=message)
        answer = self._within_bounds(y)
        if leg is not None and answer.status is Status.OPTIMAL:
            complaint = leg.leave(self._follower.name, state)
            return Answer(Status.FAILED, y, message=complaint) if complaint else answer
        return answer

    def _parted(self, reply: Any) -> tuple[Any, Any]:
        """Values and state of a function that goes on from one."""
        if not isinstance(reply, tuple) or len(reply) != 2:
            name = self._follower.name
            raise AnswerError(
                f"the response function of {name} must return (values, state), for {name} was declared with"
                f" steps={self._steps}; it returned {type(reply).__name__}"
            )
        return reply

    def _within_bounds(self, y: Array) -> Answer:
        """An answer; a failure where it breaks a bound that its variables were declared with."""
        slack = tolerances.FEASIBILITY * np.maximum(1.0, np.abs(y))
        outside = (y < self._low - slack) | (y > self._high + slack)
        if not outside.any():
            return Answer(Status.OPTIMAL, y, np.nan, np.nan, True)
        place = int(np.argmax(outside))
        name = self._follower.variables[place].name
        ends = f"({self._low[place]:g}, {self._high[place]:g})"
        said = f"the response function of {self._follower.name} gave {name} = {y[place]:.6g}, outside its bounds {ends}"
        return Answer(Status.FAILED, y, message=said)

    def _isolated(self, arguments: tuple[Any, ...]) -> Any:
        """What the function gave in its own process, or the answer that it failed or was pruned."""
        if self._trial is None:
            kind, found = called(self._function, self._limits, arguments)
        else:
            kind, found = tried(self._there, self._limits, arguments, current())
        if kind == "answer":
            return found
        return Answer(Status.PRUNED if kind == "pruned" else Status.FAILED, message=found)

    def _asked(self, arguments: tuple[Any, ...]) -> Any:
        if self._trial is None:
            return self._function(*arguments)
        if not self._trial:
            return self._function(*arguments, current())
        return self._function(*arguments, **{self._trial: current()})
