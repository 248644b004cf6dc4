"""Losses over rows that are the largest of lines: what slacks would be above, if each row had one."""

from __future__ import annotations

from collections.abc import Iterator

import casadi as ca
import numpy as np

from bilevel.expressions.row_terms import RowTerm
from bilevel.programs.hinges.form import Places
from bilevel.programs.program import Program


class DataLines:
    """The lines of all losses of a program.

    Parameters
    ----------
    program : Program
        Whose losses have lines.
    places : ndarray of int, shape (p,)
        Its coefficients.

    Attributes
    ----------
    matrix, offsets : ndarray of shape (r, p), (r,)
        The lines, ``offset - P w``, those of one loss after the other.
    costs : SX of shape (s, 1)
        What each row's slack costs.
    """

    def __init__(self, program: Program, places: Places) -> None:
        column = np.full(program.n, -1)
        column[places] = np.arange(len(places))
        self._first, self._counts = program.n, [(len(t.rows.target), self._lines_of(t)) for t in program.losses]
        blocks, offsets, costs = [np.zeros((0, len(places)))], [np.zeros(0)], [ca.SX(0, 1)]
        weighed = program.loss_weights if program.losses else ()
        for term, weights in zip(program.losses, weighed, strict=True):
            own = column[np.arange(program.n)[term.places]]
            assert term.rows.loss.lines is not None
            for offset, slope in term.rows.loss.lines(term.rows.target)[:2]:
                if not slope.any():
                    continue
                block = np.zeros((len(offset), len(places)))
                block[:, own] = slope[:, None] * term.rows.matrix
                blocks.append(block)
                offsets.append(offset)
            costs.append(weights if term.weights is not None else weights * ca.DM(term.numbers))
        self.matrix, self.offsets, self.costs = np.vstack(blocks), np.concatenate(offsets), ca.vertcat(*costs)

    @staticmethod
    def _lines_of(term: RowTerm) -> int:
        """One for a hinge above zero, two of a maximum without a floor, three of a tube."""
        assert term.rows.loss.lines is not None
        found = term.rows.loss.lines(term.rows.target)
        return len(found) if len(found) > 2 or found[-1][1].any() else 1

    def slacks(self, first: int) -> Iterator[tuple[int, int, int, bool]]:
        """Of each row: its line, another or -1, its slack's place, and whether the two are a tube.

        Parameters
        ----------
        first : int
            Number of the first line.
        """
        place = self._first
        for count, lines in self._counts:
            for k in range(first, first + count):
                yield k, -1 if lines == 1 else k + count, place, lines > 2
                place += 1
            first += count * min(lines, 2)
