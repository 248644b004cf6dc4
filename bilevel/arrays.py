"""What everybody passes on: arrays of numbers, and points of the upper level."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Of floats, of any shape."""

Point = tuple[float, ...]
"""Coordinates of an upper point, one per dimension: an integer for a sequence or an integer, else a float."""


def as_python(value: Any) -> Any:
    """A scalar of NumPy's as Python's own, anything else as it is, a type such as ``numpy.float32`` too."""
    return value.item() if isinstance(value, np.generic) else value


def is_real(value: Any) -> bool:
    """Whether a value of a variable is a real number; a truth value is a word."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def silence() -> None:
    """Let nothing be heard of what NumPy warns of, in others' lines and in ours: what comes of it is judged."""
    warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"(numpy|scipy|pyomo|bilevel)\.")


def sizes_of_rows(lower: Array, upper: Array) -> Array:
    """What tolerances of rows ``lower <= row <= upper`` are relative to: ``max(1, |bound|)``, of the upper if finite.

    Parameters
    ----------
    lower, upper : ndarray of shape (m,)
        Infinite where there is none.
    """
    bound = np.where(np.isfinite(upper), upper, np.where(np.isfinite(lower), lower, 0.0))
    sizes: Array = np.maximum(1.0, np.abs(bound))
    return sizes
