"""``BilevelSearchCV``: hyperparameters searched by this package, in the place of ``GridSearchCV``.

The estimator's training is the lower level, a function that answers for the follower; the mean score over the folds is
F. Splitting, fitting, scoring, failures, metadata and the refit are those of scikit-learn, whose search classes are the
base (Pedregosa et al. 2011, "Scikit-learn: machine learning in Python", JMLR 12).
"""

from __future__ import annotations

import math
import warnings
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pyomo.environ as pyo

try:
    from sklearn.base import is_classifier
    from sklearn.model_selection import check_cv
    from sklearn.model_selection._search import BaseSearchCV
    from sklearn.utils import check_random_state
except ImportError as error:
    raise ImportError("bilevel.learning needs scikit-learn: pip install 'bilevel-toolkit[learn]'") from error

from bilevel.api.solving import solve
from bilevel.language.lower_level import LowerLevel
from bilevel.learning.candidates import Candidates, Ended, FixedFolds
from bilevel.learning.exact import solve_exactly
from bilevel.learning.search_space import Parameter, read_space
from bilevel.results.result import Result


class BilevelSearchCV(BaseSearchCV):
    """Searches an estimator's hyperparameters by cross-validation, as ``GridSearchCV`` does, by any method of ours.

    Parameters
    ----------
    estimator : estimator object
        As scikit-learn's search classes take it, pipelines included.
    space : dict
        From parameter (``alpha``, ``step__alpha``) to its values: a list, a ``range``, ``(low, high)``, ``(low, high,
        "log")``, ``(low, high, "int")``, a frozen distribution of ``scipy.stats``, a distribution of Optuna.
    method : str
        ``auto`` (the whole grid where ``budget`` covers it, else a surrogate), the name of a search (``random``,
        ``gp``, ``grid``, ``optuna:TPE``, ...), or ``exact``: the best penalty with a proof, for those estimators of
        which the training is known as an optimization problem (:mod:`bilevel.learning.exact`).
    budget : int or None
        Candidates at most.
    cv, scoring, refit, n_jobs, error_score, verbose, return_train_score, pre_dispatch
        As in ``GridSearchCV``. Splitters are asked once: all candidates see the same folds. Of several scores the one
        that ``refit`` names is searched for, the first where it names none.
    study : str or storage, optional
        Where candidates are kept as an Optuna study; the search goes on from those there are. ``cv_results_`` holds
        those of this fit, and the best.
    random_state : int, RandomState or None
        Of every random choice of the search; the same number, the same candidates.
    time_limit : float, optional
        Seconds of the search; 60 of the exact method where nothing is said.

    Attributes
    ----------
    best_params_, best_score_, best_index_, best_estimator_, cv_results_, scorer_, n_splits_, refit_time_, multimetric_
        As in ``GridSearchCV``.
    result_ : Result
        The run, with history, notes and pictures.
    verdict_ : str
        What is proved of the best candidate, over the whole space: ``certified_global``, ``best_found``, ...
    bound_ : float or None
        What no candidate's score is above, where that is proved.

    Examples
    --------
    >>> from bilevel.learning import BilevelSearchCV
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> search = BilevelSearchCV(Ridge(), {"alpha": (1e-4, 1e2, "log")}, budget=15, random_state=0).fit(X, y)
    >>> len(search.cv_results_["params"]), bool(search.best_score_ > 0.48)
    (15, True)
    """

    _required_parameters = ("estimator", "space")
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSearchCV._parameter_constraints,
        "space": "no_validation",
        "method": [str],
        "budget": [Integral, None],
        "study": "no_validation",
        "random_state": ["random_state"],
        "time_limit": "no_validation",
    }

    def __init__(
        self,
        estimator: Any,
        space: Any,
        *,
        method: str = "auto",
        budget: int | None = 60,
        cv: Any = 5,
        scoring: Any = None,
        refit: Any = True,
        n_jobs: int | None = None,
        study: Any = None,
        random_state: Any = None,
        error_score: Any = np.nan,
        verbose: int = 0,
        return_train_score: bool = False,
        pre_dispatch: Any = "2*n_jobs",
        time_limit: float | None = None,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.space = space
        self.method = method
        self.budget = budget
        self.study = study
        self.random_state = random_state
        self.time_limit = time_limit

    def fit(self, X: Any, y: Any = None, **params: Any) -> BilevelSearchCV:
        """Search, and refit the best estimator on all rows.

        Parameters
        ----------
        X : array_like, shape (n, p)
            Rows.
        y : array_like, shape (n,) or (n, q), optional
            Targets.
        **params
            Of the estimator's ``fit``, the scorer and the splitter (``groups``), routed as by scikit-learn.

        Raises
        ------
        BilevelError
            If the space or the method cannot be, or the exact method does not know the estimator.
        ValueError
            If no candidate could be fitted.
        """
        self._given = {name for name, value in params.items() if value is not None} - {"groups"}
        self._folds = FixedFolds(check_cv(self.cv, y, classifier=is_classifier(self.estimator)))
        try:
            return super().fit(X, y, **params)  # type: ignore[no-any-return]
        except Ended as ended:
            raise (ended.__cause__ or ended) from None
        finally:
            self.__dict__.pop("_candidates", None)
            del self._given, self._folds

    def _run_search(self, evaluate_candidates: Any) -> None:
        """Search; scikit-learn calls this from ``fit``."""
        parameters = read_space(self.space, self.estimator)
        self._candidates = Candidates(evaluate_candidates, self._folds, self.refit, self.error_score)
        self._results: dict[str, Any] = {}
        if self.method == "exact":
            self._exactly(parameters)
        else:
            self._searched(parameters)
        candidates, out = self._candidates.rows()
        results, splits = self._results, len(self._folds.splits)
        del self._candidates, self._results
        results.update(self._format_results(candidates, splits, out))

    def _format_results(self, candidate_params: Any, n_splits: int, out: Any, more_results: Any = None) -> Any:
        """Scikit-learn's table, made once at the end: until then it is the same empty one."""
        if "_candidates" not in self.__dict__:
            return super()._format_results(candidate_params, n_splits, out, more_results)
        self._candidates.take(candidate_params, n_splits, out)
        return self._results

    def _searched(self, parameters: list[Parameter]) -> None:
        model, variables = pyo.ConcreteModel(), []
        for parameter in parameters:
            variables.append(parameter.add_to(model))
        names = [variable.name for variable in variables]

        def train(x: dict[str, Any]) -> dict[str, float]:
            key = tuple(x[name] for name in names)
            params = {p.name: p.value(value) for p, value in zip(parameters, key, strict=True)}
            score = self._candidates.score(params, key)
            if not math.isfinite(score):
                raise ArithmeticError(f"the score is {score}")
            return {"score": score}

        model.cross_validation_ = LowerLevel(response=train)
        model.cross_validation_.score = pyo.Var()
        model.mean_score_ = pyo.Objective(expr=model.cross_validation_.score, sense=pyo.maximize)
        self._keep(
            solve(
                model,
                self._method(parameters),
                budget=self.budget,
                seed=self._seed(),
                study=self.study,
                time_limit=self.time_limit,
            )
        )
        self.bound_ = self.result_.bound

    def _method(self, parameters: list[Parameter]) -> str:
        """The search's name; the whole grid where that is within the budget."""
        size = math.prod(p.size for p in parameters)
        return "grid" if self.method == "auto" and self.budget is not None and size <= self.budget else self.method

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _exactly(self, parameters: list[Parameter]) -> None:
        found = solve_exactly(self, parameters, self._folds, self._candidates, self._given)
        self._keep(found.result)
        self.bound_ = found.bound
        if not math.isclose(found.score, found.refitted, rel_tol=1e-6, abs_tol=1e-9):
            warnings.warn(
                f"the proof is of the exact minimisers, whose score is {found.score:.9g}; scikit-learn's own fit, which"
                f" is inexact, has {found.refitted:.9g}: give the estimator a smaller tol and more max_iter",
                stacklevel=2,
            )

    def _keep(self, result: Result) -> None:
        self.result_ = result
        self.verdict_ = str(result.verdict)
