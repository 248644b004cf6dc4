"""Cheap looks and races: validation loss after the same epochs of training, and solves of folds that a race spares.

    python benchmarks/racing.py training [--only stages] [--seeds 5] [--full 12]
    python benchmarks/racing.py folds [--levels 1000]

``training`` tunes four hyperparameters on scikit-learn's own data (needs scikit-learn): boosting stages on breast
cancer, epochs of a small network on digits, epochs of stochastic gradient descent on diabetes. Every method has the
epochs of ``--full`` trainings to their end, those of stopped points included, and is judged by the best loss of a point
that came to its end within them; Optuna's run on the very same training functions.

``folds`` is ten-fold cross-validation on diabetes over a grid of penalties, with and without ``pruner="race"``.
"""

from __future__ import annotations

import argparse
import contextlib
import time
import warnings
from pathlib import Path

import numpy as np
import optuna
import pyomo.environ as pyo

import bilevel
from bilevel import LowerLevel, discretize, least_squares, set_scale

DATA = Path(__file__).parents[1] / "models" / "data" / "diabetes.csv"
EPOCHS = 81


class Stages:
    """Gradient boosting on breast cancer, a stage an epoch: log loss on a third of the rows."""

    def __init__(self):
        from sklearn.datasets import load_breast_cancer

        self.data = _split(*load_breast_cancer(return_X_y=True))

    def begin(self, x):
        from sklearn.ensemble import GradientBoostingClassifier

        return GradientBoostingClassifier(
            learning_rate=x["rate"], max_depth=int(x["depth"]), subsample=x["rows"], min_samples_leaf=int(x["leaf"]),
            warm_start=True, n_estimators=1, random_state=0,
        )  # fmt: skip

    def step(self, model, epoch):
        from sklearn.metrics import log_loss

        fit, fit_y, see, see_y = self.data
        model.n_estimators = epoch
        model.fit(fit, fit_y)
        return log_loss(see_y, model.predict_proba(see))


class Network:
    """A network with one hidden layer on digits: log loss on a third of the rows."""

    def __init__(self):
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        self.data = _split(X[:900] / 16, y[:900])

    def begin(self, x):
        from sklearn.neural_network import MLPClassifier

        return MLPClassifier(
            (int(x["hidden"]),), solver="sgd", learning_rate_init=x["rate"], alpha=x["decay"], momentum=x["speed"],
            batch_size=64, random_state=0,
        )  # fmt: skip

    def step(self, model, epoch):
        from sklearn.metrics import log_loss

        fit, fit_y, see, see_y = self.data
        model.partial_fit(fit, fit_y, classes=np.arange(10))
        return log_loss(see_y, model.predict_proba(see), labels=np.arange(10))


class Descent:
    """Stochastic gradient descent for a linear model with squares and products of features on diabetes: R2's rest."""

    def __init__(self):
        from sklearn.datasets import load_diabetes
        from sklearn.preprocessing import PolynomialFeatures

        X, y = load_diabetes(return_X_y=True)
        X = PolynomialFeatures(2, include_bias=False).fit_transform(X / X.std(0))
        self.data = _split(X / X.std(0), (y - y.mean()) / y.std())

    def begin(self, x):
        from sklearn.linear_model import SGDRegressor

        return SGDRegressor(
            penalty="elasticnet", alpha=x["decay"], l1_ratio=x["mix"], eta0=x["rate"], power_t=x["power"],
            random_state=0,
        )  # fmt: skip

    def step(self, model, epoch):
        fit, fit_y, see, see_y = self.data
        model.partial_fit(fit, fit_y)
        return float(np.mean((np.clip(model.predict(see), -1e3, 1e3) - see_y) ** 2))


SPACES = {
    "stages": {"rate": (1e-3, 1.0, "log"), "depth": (1, 6, "int"), "rows": (0.2, 1.0, ""), "leaf": (1, 40, "int")},
    "network": {
        "rate": (1e-4, 1.0, "log"),
        "decay": (1e-6, 1.0, "log"),
        "hidden": (4, 64, "int"),
        "momentum": (0, 0.99, ""),
    },
    "descent": {"rate": (1e-5, 0.1, "log"), "decay": (1e-6, 1.0, "log"), "mix": (0, 1, ""), "power": (0, 0.8, "")},
}
TASKS = {"stages": Stages, "network": Network, "descent": Descent}
METHODS = {
    "random": ("random", None),
    "surrogate": ("surrogate", None),
    "random, hyperband": ("random", "hyperband"),
    "random, asha": ("random", "asha"),
    "surrogate, hyperband": ("surrogate", "hyperband"),
    "surrogate, asha": ("surrogate", "asha"),
}


def _split(X, y):
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    third = len(X) // 3
    return X[third:], y[third:], X[:third], y[:third]


class Meter:
    """Trains, counts epochs, and keeps the best loss of a training that came to its end within them."""

    def __init__(self, name, limit):
        self.task, self.space = TASKS[name](), SPACES[name]
        self.limit, self.spent, self.best = limit, 0, np.inf
        self.done = {}

    def __call__(self, x, trial, pruned=bilevel.TrialPruned):
        if trial.number < 0:  # the verification: no epoch is charged, nor trained again
            return self.done[tuple(x.values())]
        model, loss = self.task.begin(x), np.inf
        for epoch in range(1, EPOCHS + 1):
            if self.spent >= self.limit:
                raise KeyboardInterrupt
            self.spent += 1
            loss = self.task.step(model, epoch)
            loss = loss if np.isfinite(loss) else 1e3
            trial.report(loss, epoch)
            if trial.should_prune():
                raise pruned
        self.done[tuple(x.values())] = loss
        self.best = min(self.best, loss)
        return loss


def ours(name, limit, method, pruner, seed):
    meter = Meter(name, limit)
    model = pyo.ConcreteModel()
    for each, (low, high, kind) in meter.space.items():
        model.add_component(each, pyo.Var(within=pyo.Integers if kind == "int" else pyo.Reals, bounds=(low, high)))
        if kind == "log":
            set_scale(model.component(each), "log")
    model.net = LowerLevel(response=lambda x, trial: {"loss": meter(x, trial)})
    model.net.loss = pyo.Var()
    model.obj = pyo.Objective(expr=model.net.loss)
    bilevel.solve(model, method, budget=limit, seed=seed, pruner=pruner)
    return meter.best


def optunas(name, limit, seed):
    meter = Meter(name, limit)

    def objective(trial):
        x = {}
        for each, (low, high, kind) in meter.space.items():
            suggest = trial.suggest_int if kind == "int" else trial.suggest_float
            x[each] = suggest(each, low, high, **({"log": True} if kind == "log" else {}))
        return meter(x, trial, optuna.TrialPruned)

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # the meter ends a study in the middle of a trial
    sampler = optuna.samplers.TPESampler(seed=seed)
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS)
    with contextlib.suppress(KeyboardInterrupt):
        optuna.create_study(sampler=sampler, pruner=pruner).optimize(objective)
    return meter.best


def training(only, seeds, full):
    for name in only:
        limit = full * EPOCHS
        print(f"{name}: {TASKS[name].__doc__} {limit} epochs, {seeds} seeds: mean, and each")
        for label, (method, pruner) in METHODS.items():
            _line(label, [ours(name, limit, method, pruner, seed) for seed in range(seeds)])
        _line("Optuna: TPE, hyperband", [optunas(name, limit, seed) for seed in range(seeds)])


def _line(label, losses):
    print(f"  {label:24} {np.mean(losses):8.4f}   {' '.join(f'{loss:.4f}' for loss in losses)}", flush=True)


def cross_validated(kind, levels, low, high):
    """Ten folds of diabetes, each in units of its own training rows; of 60 rows for a support vector machine."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)[: 60 if kind == "svm" else None]
    fold = np.arange(len(rows)) % 10
    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(low, high))
    discretize(model.penalty, levels=levels, scale="log")
    model.fit = LowerLevel(range(10))
    total = 0.0
    for k in range(10):
        train, see = rows[fold != k], rows[fold == k]
        mean, spread = train.mean(axis=0), train.std(axis=0)
        train, see = (train - mean) / spread, (see - mean) / spread
        p = train.shape[1] - 1
        if kind == "svm":
            w = machine(model.fit[k], train[:, :-1], np.sign(train[:, -1]), model.penalty)
            total += least_squares(see[:, :-1], np.sign(see[:, -1]), w) / len(see)
            continue
        w = model.fit[k].w = pyo.Var(range(p), bounds=(-2, 2) if kind == "ridge in a box" else (None, None))
        size = sum(abs(w[j]) for j in range(p)) if kind == "lasso" else sum(w[j] ** 2 for j in range(p)) / 2
        error = least_squares(train[:, :-1], train[:, -1], w)
        model.fit[k].obj = pyo.Objective(expr=error / (2 * len(train)) + model.penalty * size)
        total += least_squares(see[:, :-1], see[:, -1], w) / len(see)
    model.obj = pyo.Objective(expr=total / 10)
    return model


def machine(block, X, signs, cost):
    """A linear support vector machine without an intercept, its slacks beside its coefficients."""
    w = block.w = pyo.Var(range(X.shape[1]))
    short = block.short = pyo.Var(range(len(X)), bounds=(0, None))

    def margin(_, i):
        return float(signs[i]) * sum(float(v) * w[j] for j, v in enumerate(X[i])) >= 1 - short[i]

    block.margin = pyo.Constraint(range(len(X)), rule=margin)
    block.obj = pyo.Objective(expr=sum(w[j] ** 2 for j in w) / 2 + cost * sum(short[i] for i in short))
    return w


def folds(levels):
    print(
        f"ten folds of diabetes, a grid of {levels} penalties: F without and with the race, solves spared, CPU seconds"
    )
    for kind, low, high in (
        ("lasso", 1e-3, 1.0),
        ("lasso", 1e-3, 10.0),
        ("ridge in a box", 1e-3, 10.0),
        ("ridge in a box", 1e-3, 1e3),
        ("svm", 1e-3, 1.0),
        ("ridge", 1e-3, 1e3),
    ):
        found = []
        for pruner in (None, "race"):
            model = cross_validated(kind, levels, low, high)
            began = time.process_time()
            found.append((bilevel.solve(model, "grid", budget=levels, pruner=pruner), time.process_time() - began))
        (whole, slow), (raced, quick) = found
        assert raced.upper == whole.upper
        assert raced.verdict == whole.verdict
        saved = raced.saved
        share = f"{saved['spared'] / saved['whole']:.0%}" if saved else "not raced"
        print(
            f"  {kind:16} [{low:g}, {high:g}]  {whole.upper_objective:.9f} {raced.upper_objective:.9f} {share:>9}"
            f"  {slow:6.2f} {quick:6.2f}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["training", "folds"])
    parser.add_argument("--only", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--full", type=int, default=12)
    parser.add_argument("--levels", type=int, default=1000)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    if asked.what == "folds":
        folds(asked.levels)
    else:
        training(asked.only.split(","), asked.seeds, asked.full)


if __name__ == "__main__":
    main()
