"""What a search must be able to do: propose upper points, and learn from what they gave."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from bilevel.contracts.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from bilevel.arrays import Point
    from bilevel.upper.archive import Evaluation
    from bilevel.upper.space import Space


class Search(Part):
    """Proposes upper points and learns from them (ask/tell). A new one is a file in ``solvers/searches``.

    Parameters
    ----------
    space : Space
        The upper search space.
    rng : numpy.random.Generator
        The only source of randomness.
    budget : int or None
        How many evaluations there will be, where that is known; of a stored study it is not, which can always go on.
    **options
        The search's own, keyword only, with defaults. An option nobody takes is an error that lists those there are.
    """

    uses_gradients: ClassVar[bool] = False
    """Whether evaluations should carry ``gradient``; the outer loop refuses problems that have none."""

    welcomes_gradients: bool = False
    """Whether evaluations should carry ``gradient`` where F has one, a search that does without elsewhere: under
    coupling constraints, at a kink, where the follower answers by a function or a gradient would cost too much."""

    curvature: Callable[[NDArray[np.float64], NDArray[np.float64]], Any] | None = None
    """Set by the outer loop on a search that is given gradients where it is to be had: ``curvature(x, y)`` gives the
    function that multiplies with the Hessian of F(x, y(x)) (:mod:`bilevel.sensitivity.second_order`), or None."""

    keeps_coupling: ClassVar[bool] = False
    """Whether it leads to points that keep the coupling constraints, by the values and derivatives of these that
    evaluations carry beside ``gradient``. One that uses gradients and does not is refused problems with such."""

    coupling: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    """Set by the outer loop on a search with ``keeps_coupling``: the coupling constraints' lower and upper bounds, each
    of shape (m,), infinite where there is none; None where there is no such constraint."""

    learns: ClassVar[bool] = True
    """Whether what it is told changes what it asks next. Where it does not, points may be asked far ahead, many in one
    call, and the outcomes of its own points need not be told; what it proposes must not hang on how many are asked."""

    fronts: ClassVar[bool] = False
    """Whether it learns from ``costs``, the several objectives of the leader, of which evaluations then carry each.
    One that learns and does not is refused such problems; one that does not learn is given them all the same."""

    coarse_first: bool = False
    """Set by the outer loop before anything is asked: whether points that lie far apart should come first, for those
    between them may be spared by what they gave."""

    objectives: int = 1
    """Set by the outer loop before anything is asked: how many objectives the leader has."""

    def __init__(self, space: Space, rng: np.random.Generator, budget: int | None) -> None:
        self.space = space
        self.rng = rng
        self.budget = budget

    @abstractmethod
    def ask(self, count: int = 1) -> list[Point]:
        """Propose up to ``count`` points that the space allows and that were never proposed before.

        Fewer, or none, means that the search has nothing more to propose.
        """

    def tell(self, evaluation: Evaluation) -> None:
        """Learn the outcome of a point, proposed by this search or not (a starting point, a resumed history)."""

    def elsewhere(self, point: Point, *, ended: bool = False) -> None:
        """Hear that somebody else evaluates a point now, or (``ended``) that he gave it up without an outcome.

        Until then it is not to be proposed, which the loop sees to, and a model takes it as predicted.
        """

    @property
    def remark(self) -> str:
        """Why it proposes no more, where the space is not used up."""
        return ""

    def close(self) -> None:
        """Release what the search holds; it is not asked again."""
