"""What a surrogate must be able to do: predict a function from few of its values."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from bilevel.contracts.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Surrogate(Part):
    """A model of an expensive function from few values, on the unit box."""

    @abstractmethod
    def fit(self, points: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        """Fit to ``values`` of shape (n,) at ``points`` of shape (n, d)."""

    @abstractmethod
    def predict(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation at ``points`` of shape (m, d), each of shape (m,)."""
