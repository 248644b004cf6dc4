"""The best penalty with a proof, of estimators whose training is known as an optimization problem.

Each fold's training is a follower, the folds' mean score is F, and an exact path minimises it over the whole range:
``rational`` for ridge and kernel ridge regression, where F is a rational function of the penalty, ``homotopy`` for the
lasso and tubes, whose answers are piecewise linear in it, ``upper_boxes`` for the elastic net and linear classifiers.
Steps of a pipeline before the estimator are fitted on each fold's training rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from bilevel.api.solving import solve
from bilevel.arrays import Array
from bilevel.language.lower_level import LowerLevel
from bilevel.learning.candidates import Candidates, FixedFolds
from bilevel.learning.classifiers import SCORES
from bilevel.learning.fold import Fold, refuse
from bilevel.learning.followers import Known, known
from bilevel.learning.search_space import Parameter
from bilevel.response.response import Response
from bilevel.results.result import Result

_CURVE = 60  # points of the validation curve
_DENSER = 16  # more, between the two about the best value
_SAME = 1e-12  # scores that jump are the same within this
_SECONDS = 60.0  # of the exact path, where no limit is given


@dataclass(frozen=True)
class Proved:
    """The run, the exact minimisers' score, what none is above, what scikit-learn's own fit scores, and the curve."""

    result: Result
    score: float
    bound: float | None
    refitted: float
    curve: dict[str, Array]


def solve_exactly(
    search: Any, parameters: Sequence[Parameter], folds: FixedFolds, candidates: Candidates, given: set[str]
) -> Proved:
    """The best penalty over its whole range.

    Raises
    ------
    RefusedError
        If the estimator, the score, the space or what was given to ``fit`` is not among what is known; says what is.
    """
    if given:
        refuse(f"{', '.join(sorted(given))} given to fit: training with them is not written yet")
    name = _only(parameters)
    steps, estimator, prefix = _taken_apart(search.estimator)
    kind = known(estimator)
    score = _score(search, kind)
    if name.name != f"{prefix}{kind.penalty}":
        refuse(f"{name.name} is no penalty that is known of {type(estimator).__name__}; {prefix}{kind.penalty} is")
    middle = math.sqrt(name.low * name.high) if name.low > 0 else (name.low + name.high) / 2
    if not math.isfinite(candidates.score({name.name: middle}, "middle")):  # the folds are drawn, the data checked
        refuse("scikit-learn could not fit or score every fold")
    assert folds.data is not None
    target = _classes(folds.data[1]) if kind.classifies else _numbers_of(folds.data[1])
    rows = [_fold(folds, steps, target, score, *split) for split in folds.splits]

    model = pyo.ConcreteModel()
    penalty = name.add_to(model)
    model.training_ = LowerLevel(range(len(rows)))
    losses = [_weight(f) * kind.write(model.training_[k], f, penalty, estimator) for k, f in enumerate(rows)]
    model.loss_ = pyo.Objective(expr=sum(losses) / len(rows))
    limit = _SECONDS if search.time_limit is None else search.time_limit
    result = solve(model, kind.path, time_limit=limit, seed=search._seed())
    if result.upper_objective is None:
        refuse(f"no proof was found within {limit:g} seconds; a larger time_limit or a narrower range may help")
    most = kind.scores[score]
    bound = None if result.bound is None else most - result.bound
    value = name.value(result.upper[penalty.name])
    curve = _curve(model, name, value, most)
    if score in SCORES:
        value = _steadiest(curve, name, value)
    best = candidates.score({name.name: value}, "best")
    return Proved(result, most - result.upper_objective, bound, best, curve)


def _curve(model: Any, name: Parameter, best: float, most: float) -> dict[str, Array]:
    """The folds' mean score along the range, evenly on its scale and denser about the best value."""
    spread = np.geomspace if name.log else np.linspace
    spaced = spread(name.low, name.high, _CURVE)
    k = int(np.clip(np.searchsorted(spaced, best), 1, _CURVE - 1))
    values = np.union1d(np.concatenate([spaced, spread(spaced[k - 1], spaced[k], _DENSER)]), [best])
    values = np.unique(np.clip(values, name.low, name.high))
    return {name.name: values, "mean_test_score": most - Response(model).many(values[:, None]).cost}


def _steadiest(curve: dict[str, Array], name: Parameter, best: float) -> float:
    """Of the penalties of the curve with the same score as the best one that in the middle of the widest plateau.

    At an edge a fit that stops a little early tells a row's class otherwise.
    """
    values, scores = curve[name.name], curve["mean_test_score"]
    level = scores[int(np.searchsorted(values, best))]
    same = np.flatnonzero(np.abs(scores - level) <= _SAME)
    runs = np.split(same, np.flatnonzero(np.diff(same) > 1) + 1)
    scale = np.log(values) if name.log else values
    widest = max(runs, key=lambda run: float(scale[run[-1]] - scale[run[0]]))
    middle = 0.5 * (scale[widest[0]] + scale[widest[-1]])
    return float(values[widest[int(np.argmin(np.abs(scale[widest] - middle)))]])


def _only(parameters: Sequence[Parameter]) -> Parameter:
    if len(parameters) != 1:
        refuse(f"one penalty is proved at a time, and the space has {', '.join(p.name for p in parameters)}")
    (found,) = parameters
    if found.members is not None or found.quantile is not None or found.integer:
        refuse(
            f"space[{found.name!r}] must be a range of reals such as (1e-3, 1e3, 'log'); a list is tried as a whole by"
            " method='grid'"
        )
    if found.low < 0.0:
        refuse(f"space[{found.name!r}] begins at {found.low:g}, and a penalty is not negative")
    return found


def _score(search: Any, kind: Known) -> str:
    score = next(iter(kind.scores)) if search.scoring is None else search.scoring
    if not isinstance(score, str) or score not in kind.scores:
        refuse(f"scoring={search.scoring!r} is not known as a formula; {' and '.join(kind.scores)} are")
    return score


def _taken_apart(estimator: Any) -> tuple[Any, Any, str]:
    """What comes before, the estimator itself, and the prefix of its parameters."""
    if not isinstance(estimator, Pipeline):
        return None, estimator, ""
    name, last = estimator.steps[-1]
    return (estimator[:-1] if len(estimator.steps) > 1 else None), last, f"{name}__"


def _numbers_of(y: Any) -> Array:
    target = np.asarray(y)
    if target.ndim != 1 or target.dtype.kind not in "fiu":
        refuse(f"y of shape {target.shape} and kind {target.dtype}: one column of numbers is needed")
    return target.astype(float)


def _classes(y: Any) -> Array:
    """The classes as -1 and 1, in scikit-learn's order."""
    target = np.asarray(y)
    found = np.unique(target)
    if target.ndim != 1 or len(found) != 2:
        refuse(f"y holds {len(found)} classes; one column of two is needed")
    return np.where(target == found[1], 1.0, -1.0)


def _fold(folds: FixedFolds, steps: Any, target: Array, score: str, train: Any, held: Any) -> Fold:
    assert folds.data is not None
    X, y = folds.data
    kept, apart = _safe_indexing(X, train), _safe_indexing(X, held)
    if steps is not None:
        fitted = clone(steps).fit(kept, _safe_indexing(y, train))
        kept, apart = fitted.transform(kept), fitted.transform(apart)
    return Fold(_numbers(kept), target[train], _numbers(apart), target[held], score)


def _numbers(rows: Any) -> Array:
    """Rows as a plain array, sparse or labelled ones too."""
    return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=float)


def _weight(fold: Fold) -> float:
    """What a fold's loss is multiplied by: squares are a mean, or relative to their spread."""
    if fold.score == "neg_mean_squared_error":
        return 1.0 / len(fold.y_held)
    if fold.score != "r2":
        return 1.0
    spread = float(((fold.y_held - fold.y_held.mean()) ** 2).sum())
    if len(fold.y_held) < 2 or spread == 0.0:
        refuse("a fold's held rows all have the same target, and r2 is none there")
    return 1.0 / spread
