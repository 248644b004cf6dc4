"""Hyperparameters of scikit-learn's estimators: our searches beside scikit-learn's own and Optuna's.

Everybody gets the same rows, folds, space and score (three-fold cross-validation on three quarters of a data set, other
quarters and other seeds each time), and every candidate's score is noted with the processor time at which it was known.
Two figures are told of each: the best cross-validated score after so many evaluations, and after the processor time
that RandomizedSearchCV took for as many; beside them the score on the quarter nobody saw of what a refit with the first
gives. Means over seeds with standard errors; higher is better. Optuna's GP sampler is there where torch is.

    python benchmarks/hpo.py                          all tables, 240 seconds of processor time each
    python benchmarks/hpo.py --only svm --seconds 60  one of them
    python benchmarks/hpo.py --needed                 how soon ours are as good as 60 random candidates
    python benchmarks/hpo.py --proofs                 one penalty with a proof beside 60 random candidates of it
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from scipy.stats import loguniform, randint, uniform
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
    train_test_split,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from bilevel.learning import BilevelSearchCV

BUDGET, FOLDS = 30, 3


@dataclass(frozen=True)
class Task:
    """What is tuned: rows, estimator, and its parameters: ``(low, high)`` with ``log`` or ``int``, or a list."""

    data: Callable[[], tuple[Any, Any]]
    estimator: Any
    space: dict[str, Any]
    score: str


def digits() -> tuple[Any, Any]:
    """A quarter of the digits."""
    X, y = load_digits(return_X_y=True)
    return X[::4], y[::4]


def of(data: Any) -> Callable[[], tuple[Any, Any]]:
    """Rows and targets of a loader."""
    return lambda: data(return_X_y=True)


TASKS = {
    "ridge": Task(of(load_diabetes), Ridge(), {"alpha": (1e-4, 1e2, "log")}, "r2"),
    "elastic_net": Task(
        of(load_diabetes),
        ElasticNet(max_iter=5000),
        {"alpha": (1e-4, 1e1, "log"), "l1_ratio": (0.05, 1.0)},
        "r2",
    ),
    "kernel_ridge": Task(
        of(load_diabetes), KernelRidge(kernel="rbf"), {"alpha": (1e-4, 1e1, "log"), "gamma": (1e-2, 1e2, "log")}, "r2"
    ),
    "svm": Task(
        of(load_breast_cancer),
        make_pipeline(StandardScaler(), SVC()),
        {"svc__C": (1e-2, 1e3, "log"), "svc__gamma": (1e-5, 1e0, "log")},
        "accuracy",
    ),
    "boosting": Task(
        of(load_diabetes),
        GradientBoostingRegressor(random_state=0),
        {
            "learning_rate": (0.01, 0.5, "log"),
            "n_estimators": (10, 50, "int"),
            "max_depth": (1, 4, "int"),
            "min_samples_leaf": (1, 30, "int"),
            "loss": ["squared_error", "huber"],
        },
        "r2",
    ),
    "network": Task(
        digits,
        make_pipeline(StandardScaler(), MLPClassifier(max_iter=10, random_state=0)),
        {
            "mlpclassifier__alpha": (1e-5, 1e1, "log"),
            "mlpclassifier__learning_rate_init": (1e-4, 1e-1, "log"),
            "mlpclassifier__hidden_layer_sizes": (8, 32, "int"),
        },
        "accuracy",
    ),
}


class Clock:
    """A score that notes when it was asked; every ``FOLDS`` asks are one candidate."""

    def __init__(self, name: str) -> None:
        self._score, self._began = get_scorer(name), time.process_time()
        self.times: list[float] = []
        self.scores: list[float] = []

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        found = float(self._score(estimator, X, y))
        self.scores.append(found)
        self.times.append(time.process_time() - self._began)
        return found

    def trace(self) -> tuple[np.ndarray, np.ndarray]:
        """The time and the mean score of each candidate."""
        count = len(self.scores) // FOLDS
        scores = np.array(self.scores[: count * FOLDS]).reshape(count, FOLDS).mean(axis=1)
        return np.array(self.times[FOLDS - 1 :: FOLDS][:count]), scores


def distribution(values: Any) -> Any:
    """As RandomizedSearchCV takes a range."""
    if isinstance(values, list):
        return values
    low, high, *words = values
    if "int" in words:
        return randint(low, high + 1)
    return loguniform(low, high) if "log" in words else uniform(low, high - low)


def grid_of(space: dict[str, Any]) -> dict[str, list[Any]]:
    """The finest balanced grid of at most ``BUDGET`` candidates."""
    each = max(2, int(BUDGET ** (1 / len(space)) + 1e-9))
    found = {}
    for name, values in space.items():
        if isinstance(values, list):
            found[name] = values
            continue
        low, high, *words = values
        spaced = np.geomspace(low, high, each) if "log" in words else np.linspace(low, high, each)
        found[name] = [round(v) for v in spaced] if "int" in words else spaced.tolist()
    return found


def suggested(trial: Any, name: str, values: Any) -> Any:
    """One parameter by an Optuna trial."""
    if isinstance(values, list):
        return trial.suggest_categorical(name, values)
    low, high, *words = values
    return (trial.suggest_int if "int" in words else trial.suggest_float)(name, low, high, **{"log": "log" in words})


def by_optuna(sampler: str) -> Callable[..., Any]:
    """Optuna's own loop over ``cross_val_score``."""

    def run(task: Task, folds: Any, seed: int, clock: Clock, X: Any, y: Any, budget: int = BUDGET) -> None:
        def objective(trial: Any) -> float:
            params = {name: suggested(trial, name, values) for name, values in task.space.items()}
            return float(
                cross_val_score(clone(task.estimator).set_params(**params), X, y, cv=folds, scoring=clock).mean()
            )

        made = getattr(optuna.samplers, sampler)(seed=seed)
        optuna.create_study(direction="maximize", sampler=made).optimize(objective, n_trials=budget)

    return run


def by_ours(method: str) -> Callable[..., Any]:
    """Our searches in scikit-learn's manner."""

    def run(task: Task, folds: Any, seed: int, clock: Clock, X: Any, y: Any, budget: int = BUDGET) -> None:
        search = BilevelSearchCV(
            task.estimator,
            task.space,
            method=method,
            budget=budget,
            cv=folds,
            scoring=clock,
            random_state=seed,
            refit=False,
        )
        search.fit(X, y)

    return run


def by_grid(task: Task, folds: Any, seed: int, clock: Clock, X: Any, y: Any, budget: int = BUDGET) -> None:
    """GridSearchCV."""
    GridSearchCV(task.estimator, grid_of(task.space), cv=folds, scoring=clock, refit=False).fit(X, y)


def by_random(task: Task, folds: Any, seed: int, clock: Clock, X: Any, y: Any, budget: int = BUDGET) -> None:
    """RandomizedSearchCV."""
    space = {name: distribution(values) for name, values in task.space.items()}
    RandomizedSearchCV(
        task.estimator, space, n_iter=budget, cv=folds, scoring=clock, refit=False, random_state=seed
    ).fit(X, y)


TOOLS: dict[str, Callable[..., Any]] = {
    "RandomizedSearchCV": by_random,
    "GridSearchCV": by_grid,
    "Optuna TPE": by_optuna("TPESampler"),
    **({"Optuna GP": by_optuna("GPSampler")} if find_spec("torch") else {}),
    "surrogate (`auto`)": by_ours("surrogate"),
    "`gp`": by_ours("gp"),
    "`rbf`": by_ours("rbf"),
    "`optuna:tpe`": by_ours("optuna:tpe"),
    "`de`": by_ours("de"),
    "`pso`": by_ours("pso"),
}


class Kept(Clock):
    """A clock that keeps the best candidate's parameters, for the refit."""

    def __init__(self, name: str, names: Any) -> None:
        super().__init__(name)
        self._names = list(names)
        self.params: list[dict[str, Any]] = []

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        if len(self.scores) % FOLDS == 0:
            known = estimator.get_params()
            self.params.append({name: known[name] for name in self._names})
        return super().__call__(estimator, X, y)


def halving(task: Task, seed: int, rows: tuple[Any, ...]) -> tuple[float, float, float]:
    """HalvingRandomSearchCV by rows: its best score with all of them, the score on unseen rows, and its seconds."""
    X, X_test, y, y_test = rows
    began = time.process_time()
    space = {name: distribution(values) for name, values in task.space.items()}
    search = HalvingRandomSearchCV(
        task.estimator,
        space,
        n_candidates=BUDGET,
        cv=KFold(FOLDS, shuffle=True, random_state=seed),
        scoring=task.score,
        random_state=seed,
    ).fit(X, y)
    took = time.process_time() - began
    best = clone(task.estimator).set_params(**search.best_params_)
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    score = cross_val_score(best, X, y, cv=folds, scoring=task.score).mean()
    return float(score), float(get_scorer(task.score)(search.best_estimator_, X_test, y_test)), took


def one_seed(task: Task, seed: int) -> dict[str, tuple[float, float, float, float]]:
    """By tool: best score after the evaluations, after RandomizedSearchCV's time, on unseen rows, and seconds."""
    rows = train_test_split(*task.data(), test_size=0.25, random_state=seed)
    X, X_test, y, y_test = rows
    found, limit = {}, np.inf
    for name, run in TOOLS.items():
        clock = Kept(task.score, task.space)
        run(task, KFold(FOLDS, shuffle=True, random_state=seed), seed, clock, X, y)
        times, scores = clock.trace()
        limit = times[-1] if name == "RandomizedSearchCV" else limit
        best = int(np.argmax(scores))
        refitted = clone(task.estimator).set_params(**clock.params[best]).fit(X, y)
        unseen = float(get_scorer(task.score)(refitted, X_test, y_test))
        in_time = scores[times <= limit * 1.0001]
        found[name] = float(scores[best]), float(in_time.max()) if len(in_time) else np.nan, unseen, float(times[-1])
    score, unseen, took = halving(task, seed, rows)
    found["HalvingRandomSearchCV"] = score, score if took <= limit else np.nan, unseen, took
    return found


def warm() -> None:
    """Let everybody import what it needs before the clock runs."""
    task = TASKS["ridge"]
    X, y = (part[:60] for part in task.data())
    for run in TOOLS.values():
        run(task, KFold(FOLDS), 0, Kept(task.score, task.space), X, y, 12)


def table(name: str, seconds: float) -> None:
    """Seeds until the time is used up, and a table of their means."""
    task, began, runs = TASKS[name], time.process_time(), []
    while not runs or (len(runs) < 10 and (time.process_time() - began) * (1 + 1 / len(runs)) < seconds):
        runs.append(one_seed(task, len(runs)))
    print(f"\n### {name}: {BUDGET} evaluations, {len(runs)} seeds\n")
    print("| tool | validation | in RandomizedSearchCV's time | unseen rows | CPU s |\n|---|---:|---:|---:|---:|")
    for tool in runs[0]:
        columns = np.array([run[tool] for run in runs], dtype=float)
        cells = [told(column) for column in columns.T[:3]]
        print(f"| {tool} | {' | '.join(cells)} | {columns[:, 3].mean():.2f} |", flush=True)


def needed(name: str, seeds: int = 6) -> None:
    """After how many of 30 evaluations ``auto`` has the best score of 60 of RandomizedSearchCV; a dash: not yet."""
    task, counts = TASKS[name], []
    for seed in range(seeds):
        X, _, y, _ = train_test_split(*task.data(), test_size=0.25, random_state=seed)
        folds, best = KFold(FOLDS, shuffle=True, random_state=seed), []
        for run, budget in ((by_random, 2 * BUDGET), (by_ours("surrogate"), BUDGET)):
            clock = Kept(task.score, task.space)
            run(task, folds, seed, clock, X, y, budget)
            best.append(clock.trace()[1])
        there = np.flatnonzero(best[1] >= best[0].max() - 1e-12)
        counts.append(str(there[0] + 1) if len(there) else "-")
    print(f"| {name} | {', '.join(counts)} |", flush=True)


PROOFS = {
    "Ridge": (load_diabetes, Ridge(), "alpha", (1e-4, 1e2, "log"), "r2"),
    "Lasso": (load_diabetes, Lasso(tol=1e-8, max_iter=100_000), "alpha", (1e-4, 1e1, "log"), "r2"),
    "ElasticNet": (load_diabetes, ElasticNet(tol=1e-8, max_iter=100_000), "alpha", (1e-4, 1e1, "log"), "r2"),
    "KernelRidge (rbf)": (load_diabetes, KernelRidge(kernel="rbf", gamma=5.0), "alpha", (1e-3, 1e1, "log"), "r2"),
    "LogisticRegression, accuracy": (
        load_breast_cancer,
        make_pipeline(StandardScaler(), LogisticRegression()),
        "logisticregression__C",
        (1e-3, 1e2, "log"),
        "accuracy",
    ),
    "LogisticRegression, log loss": (
        load_breast_cancer,
        make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8)),
        "logisticregression__C",
        (1e-3, 1e2, "log"),
        "neg_log_loss",
    ),
    "LinearSVC, accuracy": (
        load_breast_cancer,
        make_pipeline(StandardScaler(), LinearSVC(random_state=0)),
        "linearsvc__C",
        (1e-3, 1e2, "log"),
        "accuracy",
    ),
}


def proofs(times: int = 3) -> None:
    """The best penalty with a proof beside RandomizedSearchCV(60): scores, and the least processor seconds of three."""
    print("| estimator, five folds | verdict | score | bound | CPU s | RandomizedSearchCV(60) | CPU s |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name, (data, estimator, parameter, values, score) in PROOFS.items():
        X, y = data(return_X_y=True)
        exact, drawn = [], []
        for seed in range(times):
            began = time.process_time()
            proved = BilevelSearchCV(estimator, {parameter: values}, method="exact", scoring=score).fit(X, y)
            exact.append(time.process_time() - began)
            began = time.process_time()
            random = RandomizedSearchCV(
                estimator, {parameter: distribution(values)}, n_iter=2 * BUDGET, scoring=score, random_state=seed
            ).fit(X, y)
            drawn.append((time.process_time() - began, random.best_score_))
        took, best = min(drawn)[0], max(drawn, key=lambda found: found[1])[1]
        bound = "none" if proved.bound_ is None else f"{proved.bound_:.6f}"
        print(
            f"| {name} | `{proved.verdict_}` | {proved.best_score_:.6f} | {bound} | {min(exact):.2f} | {best:.6f} |"
            f" {took:.2f} |",
            flush=True,
        )


def told(values: np.ndarray) -> str:
    """Mean and standard error; a dash where nothing came in time."""
    known = values[np.isfinite(values)]
    if len(known) < len(values):
        return "-"
    error = known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else np.nan
    return f"{known.mean():.4f} ± {error:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", choices=TASKS, action="append")
    parser.add_argument("--needed", action="store_true", help="evaluations to be as good as 60 of RandomizedSearchCV")
    parser.add_argument("--seconds", type=float, default=240.0, help="of processor time for each table")
    parser.add_argument("--proofs", action="store_true", help="one penalty with a proof beside 60 random ones")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm()
        if asked.proofs:
            proofs()
            return
        for name in asked.only or TASKS:
            needed(name) if asked.needed else table(name, asked.seconds)


if __name__ == "__main__":
    main()
