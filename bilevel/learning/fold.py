"""One fold's rows as a follower's training sees them, and how what is not known is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from bilevel.arrays import Array
from bilevel.errors import RefusedError

_INSTEAD = "method='auto' searches without a proof"


@dataclass(frozen=True)
class Fold:
    """One fold's rows, after the steps before the estimator, and the score on those held; classes are -1 and 1."""

    X: Array
    y: Array
    X_held: Array
    y_held: Array
    score: str


def refuse(why: str) -> NoReturn:
    """Say why there is no proof, and what there is instead."""
    raise RefusedError(f"method='exact': {why}; {_INSTEAD}")


def beside(rows: Array, constant: float) -> Array:
    """Rows with a constant feature."""
    return np.column_stack([rows, np.full(len(rows), float(constant))])
