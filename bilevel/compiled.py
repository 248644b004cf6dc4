"""A CasADi function on buffers of its own: a call costs its arithmetic and a microsecond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Compiled:
    """Evaluates symbolic outputs for numeric inputs, without converting anything.

    The arrays returned are the function's own buffers: the next call overwrites them. Copy what is to be kept.

    Parameters
    ----------
    inputs : sequence of SX
        Column vectors of symbols.
    outputs : sequence of SX
        Any shapes; each becomes a dense array, a column vector of shape (n,), a matrix of shape (m, n) in Fortran
        order.
    """

    def __init__(self, inputs: Sequence[ca.SX], outputs: Sequence[ca.SX], *, gathered: bool = False) -> None:
        self.function = ca.Function("f", list(inputs), [ca.densify(out) for out in outputs], {"cse": not gathered})
        self._inputs = [np.zeros(symbol.numel()) for symbol in inputs]
        self._outputs = [np.zeros(out.shape, order="F") for out in outputs]
        self._buffer, self._run = self.function.buffer()
        for k, array in enumerate(self._inputs):
            self._buffer.set_arg(k, memoryview(array.data))
        for k, array in enumerate(self._outputs):
            self._buffer.set_res(k, memoryview(array.reshape(-1, order="F").data))
        self._views = tuple(a[:, 0] if a.shape[1] == 1 else a for a in self._outputs)

    def __call__(self, *values: Any) -> tuple[Array, ...]:
        """Evaluate; one value per input, each of the input's length."""
        for array, value in zip(self._inputs, values, strict=True):
            array[:] = value
        self._run()
        return self._views

    def __reduce__(self) -> Any:
        raise TypeError("a compiled function is not pickled; compile the model again in each worker")
