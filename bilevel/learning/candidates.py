"""Candidates one by one: fitted and scored by scikit-learn's own machinery, each once, on the same folds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import FitFailedWarning

from bilevel.errors import OptionError

Rows = tuple[list[dict[str, Any]], list[dict[str, Any]]]
_ALL_FAILED = "\nAll the "  # how scikit-learn's error begins where no fold could be fitted


class Ended(OptionError):
    """What scikit-learn raised and is no failed fit: it ends the search and is raised to the user as it was."""


class FixedFolds:
    """A splitter that is asked once, so that every candidate sees the same folds, also of a shuffle without a seed."""

    def __init__(self, splitter: Any) -> None:
        self.splitter = splitter
        self.splits: list[tuple[Any, Any]] = []
        self.data: tuple[Any, Any] | None = None

    def split(self, X: Any, y: Any = None, **params: Any) -> Iterator[tuple[Any, Any]]:
        """The folds of the first call."""
        if self.data is None:
            self.splits, self.data = list(self.splitter.split(X, y, **params)), (X, y)
        return iter(self.splits)


class Candidates:
    """Evaluates candidates and keeps what came of them.

    Parameters
    ----------
    evaluate : callable
        Scikit-learn's ``evaluate_candidates``.
    folds : FixedFolds
        Where they are fitted and scored.
    refit : bool, str or callable
        Of the search class; a word is the score that counts where there are several, else the first one is.
    error_score : float or "raise"
        Of a fit that failed.
    """

    def __init__(self, evaluate: Callable[..., Any], folds: FixedFolds, refit: Any, error_score: Any) -> None:
        self._evaluate, self._folds = evaluate, folds
        self._refit, self._error_score = refit, error_score
        self._rows: list[tuple[dict[str, Any], list[dict[str, Any]] | None]] = []
        self._failure: ValueError | None = None
        self._known: dict[Any, float] = {}

    def score(self, params: dict[str, Any], key: Any) -> float:
        """The mean score over the folds; NaN where a fit failed or a score is none. Asked again it is remembered.

        Parameters
        ----------
        params : dict
            As the estimator takes them.
        key : hashable
            What the candidate is known by.

        Raises
        ------
        Ended
            If scikit-learn raised something that is no failed fit.
        """
        if key not in self._known:
            self._known[key] = self._fitted(params)
        return self._known[key]

    def glance(self, params: dict[str, Any]) -> float:
        """The mean score of a candidate that is looked at with little of its resource: it enters no table.

        Raises
        ------
        Ended
            As :meth:`score`.
        """
        known = len(self._rows)
        score = self._fitted(params)
        del self._rows[known:]
        return score

    def _fitted(self, params: dict[str, Any]) -> float:
        try:
            self._evaluate([params], cv=self._folds)
        except ValueError as error:
            if self._error_score == "raise" or not str(error).startswith(_ALL_FAILED):
                raise Ended(str(error)) from error
            self._failure = error
            self._rows.append((params, None))
            return float(self._error_score)
        except Exception as error:
            raise Ended(str(error)) from error
        outs = self._rows[-1][1]
        assert outs is not None
        return float(np.mean([self._counting(out["test_scores"]) for out in outs]))

    def _counting(self, scores: Any) -> float:
        if not isinstance(scores, dict):
            return float(scores)
        return float(scores[self._refit if self._refit in scores else next(iter(scores))])

    def take(self, candidates: Sequence[dict[str, Any]], splits: int, out: Sequence[dict[str, Any]]) -> None:
        """Keep the last candidate's folds, of all those that scikit-learn has so far."""
        self._rows.append((candidates[-1], list(out[-splits:])))

    def rows(self) -> Rows:
        """Every candidate and every fold's outcome, in the order of the search; failures have the error score.

        Raises
        ------
        ValueError
            If not one fit was possible: scikit-learn's own.
        """
        whole = next((outs for _, outs in self._rows if outs is not None), None)
        if whole is None:
            raise self._failure or ValueError("No fits were performed.")
        failed = sum(outs is None for _, outs in self._rows)
        if failed:
            warnings.warn(
                f"{failed} of {len(self._rows)} candidates could not be fitted on any fold; the last one said:"
                f" {self._failure}",
                FitFailedWarning,
                stacklevel=2,
            )
        blank = [self._blank(out) for out in whole]
        return [params for params, _ in self._rows], [out for _, outs in self._rows for out in outs or blank]

    def _blank(self, out: dict[str, Any]) -> dict[str, Any]:
        """A fold that could not be fitted, in the form of one that could."""
        scores = {name: self._instead(found) for name, found in out.items() if name in ("test_scores", "train_scores")}
        return {**out, **scores, "fit_time": 0.0, "score_time": 0.0, "fit_error": "failed"}

    def _instead(self, scores: Any) -> Any:
        return dict.fromkeys(scores, self._error_score) if isinstance(scores, dict) else self._error_score
