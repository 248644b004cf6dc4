"""The best penalty with a proof, of estimators whose training is known as an optimization problem.

Each fold's training is a follower, the folds' mean score is F, and an exact path minimises it over the whole range:
``rational`` for ridge and kernel ridge regression, where F is a rational function of the penalty, ``homotopy`` for the
lasso, whose answer is piecewise linear in it. An intercept that is not penalised is had by centring the training rows
(Hastie, Tibshirani and Friedman 2009, *The Elements of Statistical Learning*, section 3.4). Steps of a pipeline before
the estimator are fitted on each fold's training rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyomo.environ as pyo
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Lasso, Ridge
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from bilevel.api.solving import solve
from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.language.formulas import least_squares
from bilevel.language.lower_level import LowerLevel
from bilevel.learning.candidates import Candidates, FixedFolds
from bilevel.learning.search_space import Parameter
from bilevel.response.response import Response
from bilevel.results.result import Result

_SCORES = ("r2", "neg_mean_squared_error")
_INSTEAD = "method='auto' searches without a proof"
_CURVE = 60  # points of the validation curve
_SECONDS = 60.0  # of the exact path, where no limit is given
_MOST_ROWS = 400  # of a kernel's fold: as many coefficients, in dense matrices


@dataclass(frozen=True)
class Proved:
    """The run, the exact minimisers' score, what none is above, what scikit-learn's own fit scores, and the curve."""

    result: Result
    score: float
    bound: float | None
    refitted: float
    curve: dict[str, Array]


@dataclass(frozen=True)
class Fold:
    """One fold's rows, after the steps before the estimator."""

    X: Array
    y: Array
    X_held: Array
    y_held: Array


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
        _refuse(f"{', '.join(sorted(given))} given to fit: training with them is not written yet")
    name, score = _only(parameters), _score(search)
    steps, estimator, prefix = _taken_apart(search.estimator)
    follower, path = _known(estimator)
    if name.name != f"{prefix}alpha":
        _refuse(f"{name.name} is no penalty that is known of {type(estimator).__name__}; {prefix}alpha is")
    middle = math.sqrt(name.low * name.high) if name.low > 0 else (name.low + name.high) / 2
    candidates.score({name.name: middle}, "middle")  # by which the folds are drawn and the data checked
    assert folds.data is not None
    rows = [_fold(folds, steps, *split) for split in folds.splits]

    model = pyo.ConcreteModel()
    penalty = name.add_to(model)
    model.training_ = LowerLevel(range(len(rows)))
    losses = [_weight(f, score) * follower(model.training_[k], f, penalty, estimator) for k, f in enumerate(rows)]
    model.loss_ = pyo.Objective(expr=sum(losses) / len(rows))
    limit = _SECONDS if search.time_limit is None else search.time_limit
    result = solve(model, path, time_limit=limit, seed=search._seed())
    if result.upper_objective is None:
        _refuse(f"no proof was found within {limit:g} seconds; a larger time_limit or a narrower range may help")
    most = 1.0 if score == "r2" else 0.0
    bound = None if result.bound is None else most - result.bound
    value = name.value(result.upper[penalty.name])
    best = candidates.score({name.name: value}, "best")
    return Proved(result, most - result.upper_objective, bound, best, _curve(model, name, value, most))


def _curve(model: Any, name: Parameter, best: float, most: float) -> dict[str, Array]:
    """The folds' mean score along the range, evenly on its scale, and at the best value."""
    spaced = np.geomspace(name.low, name.high, _CURVE) if name.log else np.linspace(name.low, name.high, _CURVE)
    values = np.union1d(np.clip(spaced, name.low, name.high), [best])
    return {name.name: values, "mean_test_score": most - Response(model).many(values[:, None]).cost}


def _refuse(why: str) -> NoReturn:
    raise RefusedError(f"method='exact': {why}; {_INSTEAD}")


def _only(parameters: Sequence[Parameter]) -> Parameter:
    if len(parameters) != 1:
        _refuse(f"one penalty is proved at a time, and the space has {', '.join(p.name for p in parameters)}")
    (found,) = parameters
    if found.members is not None or found.quantile is not None or found.integer:
        _refuse(
            f"space[{found.name!r}] must be a range of reals such as (1e-3, 1e3, 'log'); a list is tried as a whole by"
            " method='grid'"
        )
    if found.low < 0.0:
        _refuse(f"space[{found.name!r}] begins at {found.low:g}, and a penalty is not negative")
    return found


def _score(search: Any) -> str:
    score = "r2" if search.scoring is None else search.scoring
    if not isinstance(score, str) or score not in _SCORES:
        _refuse(f"scoring={search.scoring!r} is not known as a formula; {' and '.join(_SCORES)} are")
    return score


def _taken_apart(estimator: Any) -> tuple[Any, Any, str]:
    """What comes before, the estimator itself, and the prefix of its parameters."""
    if not isinstance(estimator, Pipeline):
        return None, estimator, ""
    name, last = estimator.steps[-1]
    return (estimator[:-1] if len(estimator.steps) > 1 else None), last, f"{name}__"


def _fold(folds: FixedFolds, steps: Any, train: Any, held: Any) -> Fold:
    assert folds.data is not None
    X, y = folds.data
    target = np.asarray(y)
    if target.ndim != 1 or target.dtype.kind not in "fiu":
        _refuse(f"y of shape {target.shape} and kind {target.dtype}: one column of numbers is needed")
    target = target.astype(float)
    kept, apart = _safe_indexing(X, train), _safe_indexing(X, held)
    if steps is not None:
        fitted = clone(steps).fit(kept, target[train])
        kept, apart = fitted.transform(kept), fitted.transform(apart)
    return Fold(_numbers(kept), target[train], _numbers(apart), target[held])


def _numbers(rows: Any) -> Array:
    """Rows as a plain array, sparse or labelled ones too."""
    return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=float)


def _weight(fold: Fold, score: str) -> float:
    """What a fold's squared error is multiplied by."""
    if score == "neg_mean_squared_error":
        return 1.0 / len(fold.y_held)
    spread = float(((fold.y_held - fold.y_held.mean()) ** 2).sum())
    if len(fold.y_held) < 2 or spread == 0.0:
        _refuse("a fold's held rows all have the same target, and r2 is none there")
    return 1.0 / spread


Follower = Callable[[Any, Fold, Any, Any], Any]


def _known(estimator: Any) -> tuple[Follower, str]:
    """How an estimator's training is written, and the path exact for it; subclasses may train otherwise."""
    found = _KNOWN.get(type(estimator))
    if found is None:
        _refuse(
            f"the training of {type(estimator).__name__} is not known as an optimization problem;"
            f" that of {', '.join(kind.__name__ for kind in _KNOWN)} is"
        )
    if getattr(estimator, "positive", False):
        _refuse("positive=True is not known")
    return found


def _centred(fold: Fold, estimator: Any) -> Fold:
    """The fold about the means of its training rows, where there is an intercept."""
    if not estimator.fit_intercept:
        return fold
    mean, middle = fold.X.mean(axis=0), fold.y.mean()
    return Fold(fold.X - mean, fold.y - middle, fold.X_held - mean, fold.y_held - middle)


def _ridge(block: Any, fold: Fold, penalty: Any, estimator: Any) -> Any:
    fold = _centred(fold, estimator)
    w = block.w = pyo.Var(range(fold.X.shape[1]), initialize=0.0)
    block.loss = pyo.Objective(expr=least_squares(fold.X, fold.y, w) + penalty * sum(w[j] ** 2 for j in w))
    return least_squares(fold.X_held, fold.y_held, w)


def _lasso(block: Any, fold: Fold, penalty: Any, estimator: Any) -> Any:
    """In units of the columns' and the target's spread, without which the path's steps are hard to tell apart."""
    fold = _centred(fold, estimator)
    spread, unit = _spread(fold.X), float(_spread(fold.y))
    columns = range(fold.X.shape[1])
    u = block.u = pyo.Var(columns, bounds=(0, None), initialize=0.0)
    v = block.v = pyo.Var(columns, bounds=(0, None), initialize=0.0)
    w = [u[j] - v[j] for j in columns]
    error = least_squares(fold.X / spread, fold.y / unit, w) / (2 * len(fold.y))
    size = sum((u[j] + v[j]) / float(spread[j] * unit) for j in columns)
    block.loss = pyo.Objective(expr=error + penalty * size)
    return unit**2 * least_squares(fold.X_held / spread, fold.y_held / unit, w)


def _spread(rows: Array) -> Array:
    """The root mean square of each column; 1 of one that is zero."""
    found: Array = np.sqrt((rows**2).mean(axis=0))
    return np.where(found > 0.0, found, 1.0)


def _kernel_ridge(block: Any, fold: Fold, penalty: Any, estimator: Any) -> Any:
    """In the kernel's own basis: ``K = V diag(s) V'``, ``c = V'a`` minimises ``c'(diag(s) + alpha)c / 2 - c'V'y``."""
    if len(fold.y) > _MOST_ROWS:
        _refuse(f"{len(fold.y)} training rows of a fold; kernels of up to {_MOST_ROWS} are taken")
    if estimator.kernel == "precomputed":
        _refuse("kernel='precomputed' is not known")
    kernel = estimator._get_kernel(fold.X)
    sizes, basis = np.linalg.eigh(kernel)
    if sizes[0] < -1e-9 * max(1.0, sizes[-1]):
        _refuse(f"the kernel {estimator.kernel} is not positive semidefinite on these rows")
    sizes, slope = np.maximum(sizes, 0.0), basis.T @ fold.y
    c = block.c = pyo.Var(range(len(sizes)), initialize=0.0)
    curved = sum(0.5 * (float(s) + penalty) * c[j] ** 2 for j, s in enumerate(sizes))
    block.loss = pyo.Objective(expr=curved - sum(float(slope[j]) * c[j] for j in c))
    return least_squares(estimator._get_kernel(fold.X_held, fold.X) @ basis, fold.y_held, c)


_KNOWN: dict[type, tuple[Follower, str]] = {
    Ridge: (_ridge, "rational"),
    Lasso: (_lasso, "homotopy"),
    KernelRidge: (_kernel_ridge, "rational"),
}
