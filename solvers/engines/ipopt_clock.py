"""Ipopt inside CasADi told the time: its options are set when it is made, so that a callback has to look at the clock.

Asked at every tenth iteration of what iterates quickly: the call would cost as much as one of those.
"""

from __future__ import annotations

from typing import Any

import casadi as ca

from bilevel.deadline import Deadline
from bilevel.programs.program import Program

_SLOW = 300  # variables and rows from which an iteration takes so long that each is to be timed
_SELDOM = 10


class Clock(ca.Callback):
    """Says after an iteration whether it was the last.

    Parameters
    ----------
    program : Program
        What is solved.

    Attributes
    ----------
    until : Deadline
        Set before each solve.
    """

    def __init__(self, program: Program) -> None:
        ca.Callback.__init__(self)
        self.until = Deadline()
        sizes = {"f": 1, "g": program.m, "lam_g": program.m, "lam_p": program.parameters.numel()}
        self._sizes = [sizes.get(ca.nlpsol_out(k), program.n) for k in range(ca.nlpsol_n_out())]
        self.construct("clock", {})

    def get_n_in(self) -> int:
        """As many as CasADi's solvers have outputs."""
        return len(self._sizes)

    def get_n_out(self) -> int:
        """Whether to stop."""
        return 1

    def get_sparsity_in(self, place: int) -> Any:
        """Columns."""
        return ca.Sparsity.dense(self._sizes[place], 1)

    def eval(self, _: Any) -> list[int]:
        """1 to stop."""
        return [int(self.until.passed)]


def options_of(clock: Clock, program: Program) -> dict[str, Any]:
    """What CasADi's solver is to be made with."""
    slow = program.n + program.m > _SLOW
    return {"iteration_callback": clock, "iteration_callback_step": 1 if slow else _SELDOM}
