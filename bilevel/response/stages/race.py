"""One point in a race: followers answer in turn, and it is out where F is proved to be worse than what is known.

What stands in F of the followers that have answered is what would stand there at the end, however their engines came to
it; the others' parts are at their floors at least. So a point that is out is no better in full, and the answer of a run
is the one it has without racing. A follower whose answer is not unique counts as its floor: ties are broken at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.language.trials.trial import Trial
from bilevel.programs.answer import Status
from bilevel.response.replies import Reply
from bilevel.response.stages.parts_of_f import PartsOfF

_NONE: Mapping[str, float] = MappingProxyType({})


class Race:
    """The state of one.

    Parameters
    ----------
    parts : PartsOfF
        Of F.
    trial : Trial
        Says whether to stop.
    x : ndarray of shape (number of upper variables,)
        The point.
    count : int
        How many followers there are.
    floors : mapping of str to float
        What is known of parts at this very point, by follower.
    """

    def __init__(
        self, parts: PartsOfF, trial: Trial, x: Array, count: int, floors: Mapping[str, float] = _NONE
    ) -> None:
        self._parts, self._trial, self._x, self._count = parts, trial, x, count
        self._known = parts.aside(x)
        self._open = {name: max(floor, floors.get(name, floor)) for name, floor in parts.floors.items()}
        self._answered = 0
        trial.report_bound(self.bound, 0)

    @property
    def out(self) -> bool:
        """Whether it is out by what is known so far."""
        return self._trial.should_prune()

    @property
    def bound(self) -> float:
        """What F is not below."""
        total: float = self._known + sum(self._open.values())
        return total - tolerances.SAME * tolerances.scale(total)  # another order of summation

    def lost(self, name: str, y: Array, unique: bool) -> bool:
        """Take a follower's answer, which stands in y; whether the point is out."""
        self._answered += 1
        if unique and name in self._open:
            self._known += self._parts.value(name, self._x, y)
            del self._open[name]
        self._trial.report_bound(self.bound, self._answered)
        return self._answered < self._count and self.out

    def reply(self, proved: bool) -> Reply:
        """That it is out."""
        left = self._count - self._answered
        message = f"proved worse than the best point known after {self._answered} of {self._count} followers"
        return Reply(Status.PRUNED, message=message, proved=proved, bound=self.bound, spared=(left, self._count))
