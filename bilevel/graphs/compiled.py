"""A CasADi function on buffers of its own: a call costs its arithmetic and a microsecond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.deadline import current, look
from bilevel.graphs.native import LARGEST, SMALLEST, Native

_SECONDS_PER_INSTRUCTION = 3e-9  # of CasADi's interpreter; only decides when to ask for machine code
_PATIENCE = 0.05  # seconds of interpreting after which it is asked for, and again each time
_SHARED = 400_000  # instructions beyond which looking for those that occur twice takes longer than they do
_SHARING = 3e-5  # seconds that looking takes, per instruction, at the worst
_AT_ONCE = 256  # points handed to a mapped function in one call


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

    def __init__(self, inputs: Sequence[ca.SX], outputs: Sequence[ca.SX]) -> None:
        look()
        dense = [ca.densify(out) for out in outputs]
        self.function = ca.Function("f", list(inputs), dense)
        look()  # each of the two may take seconds, and no bell is heard inside
        size = self.function.n_instructions()
        if size <= _SHARED and size * _SHARING < current().left:
            self.function = ca.Function("f", list(inputs), dense, {"cse": True})
        self._inputs = [np.full(symbol.numel(), np.nan) for symbol in inputs]
        self._outputs = [np.zeros(out.shape, order="F") for out in outputs]
        self._views = tuple(a[:, 0] if a.shape[1] == 1 else a for a in self._outputs)
        self._connect(self.function)
        self._native: Native | None = None
        self._mapped: Any = None
        size = self.function.n_instructions()
        self._wait = max(1, int(_PATIENCE / (size * _SECONDS_PER_INSTRUCTION))) if SMALLEST <= size <= LARGEST else -1
        self._left = self._wait
        self._made = 0  # calls

    def _connect(self, function: ca.Function) -> None:
        self._buffer, self._run = function.buffer()
        for k, array in enumerate(self._inputs):
            self._buffer.set_arg(k, memoryview(array.data))
        for k, array in enumerate(self._outputs):
            self._buffer.set_res(k, memoryview(array.reshape(-1, order="F").data))

    def __call__(self, *values: Any) -> tuple[Array, ...]:
        """Evaluate; one value per input, each of the input's length."""
        inputs = self._inputs
        if len(inputs) == 1:  # the commonest cases, in half the time of the loop
            (inputs[0][...],) = values
        elif len(inputs) == 2:
            inputs[0][...], inputs[1][...] = values
        else:
            for array, value in zip(inputs, values, strict=True):
                array[...] = value
        self._left -= 1
        if not self._left:
            self._quicken()
        self._run()
        return self._views

    def holds(self, value: Array) -> bool:
        """Whether the outputs are those of this value of the first input."""
        return np.array_equal(self._inputs[0], value)

    @property
    def outputs(self) -> tuple[Array, ...]:
        """The buffers that every call fills and returns."""
        return self._views

    def _quicken(self) -> None:
        """Take machine code where it is there; ask for it once enough calls were made to say that more will follow."""
        if self._native is None:
            self._native = Native(self.function)
        self._made += self._wait
        function = self._native.load()
        if function is not None:
            self._keep = function  # the buffer does not own it
            self._connect(function)
        elif self._native.pending:
            if self._made >= self._native.worth:
                self._native.make()
            self._left = self._wait

    def many(self, values: Array) -> Array:
        """The single output, a column of m, at many values of the single input.

        Parameters
        ----------
        values : ndarray of shape (n, number of inputs)

        Returns
        -------
        ndarray of shape (n, m)
        """
        if self._mapped is None:
            self._mapped = self.function.map(_AT_ONCE).buffer()
            self._rows = np.zeros((_AT_ONCE, len(self._inputs[0])))
            self._found = np.zeros((_AT_ONCE, len(self._outputs[0])))
            self._mapped[0].set_arg(0, memoryview(self._rows.reshape(-1).data))
            self._mapped[0].set_res(0, memoryview(self._found.reshape(-1).data))
        out = np.empty((len(values), self._found.shape[1]))
        for start in range(0, len(values), _AT_ONCE):
            part = values[start : start + _AT_ONCE]
            self._rows[: len(part)] = part
            self._mapped[1]()
            out[start : start + len(part)] = self._found[: len(part)]
        return out

    def __reduce__(self) -> Any:
        raise TypeError("a compiled function is not pickled; compile the model again in each worker")
