"""Splitting a computation by what is known when: what depends on x alone is computed before y is.

A leader's F(x, y) often repeats work over x that the follower's data needed too (transformed features, say). Cutting
the graph where it first meets y leaves a short function of y and of the values at the cut, and those are evaluated
together with the follower's data, each shared node once.
"""

from __future__ import annotations

import casadi as ca


def split(outputs: ca.SX, early: ca.SX) -> tuple[ca.SX, ca.SX, ca.SX]:
    """Cut a column of outputs into two stages.

    Parameters
    ----------
    outputs : SX of shape (m, 1)
        Functions of these symbols and of others.
    early : SX
        A column of the symbols that are known first.

    Returns
    -------
    cut : SX of shape (k, 1)
        Functions of ``early`` alone: the values at the cut.
    symbols : SX of shape (k, 1)
        What stands for them.
    rest : SX of shape (m, 1)
        The outputs as functions of ``symbols`` and of the others.
    """
    whole = ca.cse(ca.densify(outputs))  # what is written twice is cut once
    rest, symbols, cut = ca.extract_parametric(whole, early, {"extract_trivial": True})
    return ca.vertcat(ca.SX(0, 1), *cut), ca.vertcat(ca.SX(0, 1), *symbols), rest
