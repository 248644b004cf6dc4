"""Splitting a computation by what is known when: what depends on x alone is computed before y is.

A leader's F(x, y) often repeats work over x that the follower's data needed too (transformed features, say). Cutting
the graph where it first meets y leaves a short function of y and of the values at the cut, and those are evaluated
together with the follower's data, each shared node once.
"""

from __future__ import annotations

import casadi as ca


def split(outputs: ca.SX, early: ca.SX, late: ca.SX) -> tuple[ca.SX, ca.SX, ca.SX]:
    """Cut a column of outputs into two stages.

    Parameters
    ----------
    outputs : SX of shape (m, 1)
        Functions of both sets of symbols.
    early, late : SX
        Columns of symbols: known first, known later.

    Returns
    -------
    cut : SX of shape (k, 1)
        Functions of ``early`` alone: the values at the cut.
    symbols : SX of shape (k, 1)
        What stands for them.
    rest : SX of shape (m, 1)
        The outputs as functions of ``symbols`` and ``late``.
    """
    graph = ca.Function("graph", [early, late], [ca.densify(outputs)], {"cse": True})
    stage = _Stage(graph, early, late)
    rest = stage.rebuild()
    return ca.vertcat(*stage.cut), ca.vertcat(*stage.symbols), rest


class _Stage:
    def __init__(self, graph: ca.Function, early: ca.SX, late: ca.SX) -> None:
        self._graph, self._inputs = graph, (early, late)
        self._work: dict[int, ca.SX] = {}
        self._waits: dict[int, bool] = {}
        self._at_cut: dict[int, ca.SX] = {}  # by work slot, as long as the slot holds the same value
        self.cut: list[ca.SX] = []
        self.symbols: list[ca.SX] = []

    def rebuild(self) -> ca.SX:
        """Walk the instructions once; the outputs in terms of the late symbols and those at the cut."""
        graph = self._graph
        outputs = [ca.SX(0)] * int(graph.numel_out(0))
        for k in range(graph.n_instructions()):
            operation, used, made = graph.instruction_id(k), graph.instruction_input(k), graph.instruction_output(k)
            if operation == ca.OP_OUTPUT:
                outputs[made[1]] = self._late(used[0])
            elif operation == ca.OP_INPUT:
                self._set(made[0], self._inputs[used[0]][used[1]], used[0] == 1)
            elif operation == ca.OP_CONST:
                self._set(made[0], ca.SX(graph.instruction_constant(k)), False)
            else:
                waits = any(self._waits[slot] for slot in used)
                values = [self._late(slot) if waits else self._work[slot] for slot in used]
                combine = ca.SX.unary if len(values) == 1 else ca.SX.binary
                self._set(made[0], combine(operation, *values), waits)
        return ca.vertcat(*outputs)

    def _set(self, slot: int, value: ca.SX, waits: bool) -> None:
        self._work[slot], self._waits[slot] = value, waits
        self._at_cut.pop(slot, None)

    def _late(self, slot: int) -> ca.SX:
        """A value as the late stage sees it: itself, a constant, or a symbol at the cut."""
        value = self._work[slot]
        if self._waits[slot] or value.is_constant():
            return value
        if slot not in self._at_cut:
            symbol = ca.SX.sym(f"cut{len(self.cut)}")
            self.cut.append(value)
            self.symbols.append(symbol)
            self._at_cut[slot] = symbol
        return self._at_cut[slot]
