"""Loading the gallery's files by path, and evaluating their expressions. No test stands here."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bilevel.expressions.translation import evaluator

GALLERY = Path(__file__).parents[2] / "models"
NAMES = [path.stem for path in sorted(GALLERY.glob("*.py"))]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"gallery_{name}", GALLERY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def set_values(model: Any, values: dict[str, Any]) -> None:
    """Set variables by their names."""
    for name, value in values.items():
        model.find_component(name).set_value(value)


def evaluate(expression: Any) -> float:
    """The value at the model's present point; unlike ``pyo.value`` it visits a shared Expression once."""
    return float(evaluator({})(expression))


def evaluate_at(expression: Any, var: Any, value: float) -> float:
    """The value with one variable elsewhere."""
    return float(evaluator({id(var): value})(expression))


def diabetes() -> tuple[Any, ...]:
    """Training and validation rows, X and y each, as the models split and standardise them."""
    rows = np.loadtxt(GALLERY / "data" / "diabetes.csv", delimiter=",", skiprows=1)
    return standardised(rows[:265], rows[265:354])


def standardised(training: Any, validation: Any) -> tuple[Any, ...]:
    """X and y of both, in units of the training rows' mean and standard deviation."""
    mean, spread = training.mean(axis=0), training.std(axis=0)
    Z, V = (training - mean) / spread, (validation - mean) / spread
    return Z[:, :-1], Z[:, -1], V[:, :-1], V[:, -1]
