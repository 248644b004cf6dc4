"""What everybody passes on: arrays of numbers, and points of the upper level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Of floats, of any shape."""

Point = tuple[float, ...]
"""Coordinates of an upper point, one per dimension: an integer for a sequence or an integer, else a float."""
