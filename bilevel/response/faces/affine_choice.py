"""The leader's choice among optima that are known as a polyhedron in few variables: a program of its dimension.

F over ``y + B t`` is a function of t with as many variables as there are directions in which the optima lie, and large
squares over data are squares over the data's products with B. No slack widens the set, so that the choice is an optimum
to the last digits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.expressions.row_terms import RowTerm
from bilevel.expressions.squares import Square, symbols_of
from bilevel.programs.answer import Answer, Face, Status
from bilevel.programs.compilation import Compilation
from bilevel.programs.hinges.face import hinge_face
from bilevel.programs.hinges.forces import ForcesAt
from bilevel.programs.hinges.recognition import hinge_form
from bilevel.programs.l1.face import l1_face
from bilevel.programs.l1.recognition import l1_form
from bilevel.programs.program import Program
from bilevel.response.answering import Answering

FaceAt = Callable[[Array, Array], Face | None]

_LARGEST = 200  # dimensions


class AffineChoice:
    """The best for the leader over the optima of some followers, where these are known so.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    tied : sequence of str
        Names of the followers whose answer is not known to be unique.
    """

    def __init__(self, compilation: Compilation, tied: Sequence[str]) -> None:
        self._compilation = compilation
        counts = [int(symbols.numel()) for symbols in compilation.y.values()]
        starts = itertools.accumulate(counts, initial=0)
        places = {name: slice(a, a + n) for name, a, n in zip(compilation.y, starts, counts, strict=False)}
        self._parts = [(places[name], _face_of(compilation.programs[name])) for name in tied]
        self.known = all(face is not None for _, face in self._parts)

    def __call__(self, x: Array, y: Array, seconds: float) -> Answer | None:
        """The choice at x, given answers y of all followers; None where the optima are not known so."""
        faces = [(place, None if face is None else face(x, y[place])) for place, face in self._parts]
        known = [(place, face) for place, face in faces if face is not None]
        count = sum(face.directions.shape[1] for _, face in known)
        if len(known) < len(faces) or count > _LARGEST:
            return None
        own = np.concatenate([y[place] for place, _ in known])
        if not count:
            return Answer(Status.OPTIMAL, own, 0.0, 0.0, True)
        directions = np.zeros((len(y), count))
        rows, low, high, first = [], [], [], 0
        for place, face in known:
            here = slice(first, first + face.directions.shape[1])
            directions[place, here], first = face.directions, here.stop
            rows.append(np.zeros((len(face.rows), count)))
            rows[-1][:, here] = face.rows
            low.append(np.minimum(face.low, 0.0))
            high.append(np.maximum(face.high, 0.0))
        program = self._program(x, y, directions, np.vstack(rows), np.concatenate(low), np.concatenate(high))
        answer = None if program is None else Answering(program)(np.zeros(0), np.zeros(count), seconds)
        if answer is None or answer.status is not Status.OPTIMAL or answer.y is None:
            return None
        moved = y + directions @ answer.y
        chosen = np.concatenate([moved[place] for place, _ in known])
        return Answer(Status.OPTIMAL, chosen, answer.objective, answer.bound)

    def _program(self, x: Array, y: Array, directions: Array, rows: Array, low: Array, high: Array) -> Program | None:
        """F and the coupling constraints over ``y + directions t``."""
        compilation = self._compilation
        t = ca.SX.sym("t", directions.shape[1])
        terms = [_along(term, y, directions, t) for term in compilation.upper_squares]
        if any(term is None for term in terms):
            return None
        symbols, point = symbols_of(compilation.upper_squares), ca.DM(y) + ca.DM(directions) @ t
        bodies, coupling_low, coupling_high = compilation.rows(compilation.problem.coupling)
        function = ca.Function("F", [compilation.x, compilation.all_y, symbols], [compilation.upper_short, bodies])
        objective, coupled = function(ca.DM(x), point, ca.vertcat(ca.SX(0, 1), *terms))
        count, moving = directions.shape[1], np.abs(rows).max(axis=1, initial=0.0) > 0.0
        moving &= np.isfinite(low) | np.isfinite(high)
        all_rows = ca.vertcat(ca.DM(rows[moving]) @ t, coupled)
        return Program(
            name="the choice among ties",
            parameters=ca.SX(0, 1),
            variables=t,
            objective=objective,
            rows=all_rows,
            row_lower=np.concatenate([low[moving], coupling_low]),
            row_upper=np.concatenate([high[moving], coupling_high]),
            lower=np.full(count, -np.inf),
            upper=np.full(count, np.inf),
            integer=np.zeros(count, dtype=bool),
            names=tuple(f"t[{k}]" for k in range(count)),
            row_names=tuple(f"row {k}" for k in range(int(all_rows.numel()))),
        )


def _face_of(program: Program) -> FaceAt | None:
    """How a follower's optima are known."""
    form, hinges = l1_form(program), hinge_form(program)
    if form is not None:
        known = form

        def of_l1(x: Array, y: Array) -> Face | None:
            weights = known.at(x)
            return None if weights is None else l1_face(known, weights, y)

        return of_l1
    if hinges is None:
        return None
    sum_of, forces = hinges, ForcesAt(hinges)

    def of_hinges(x: Array, y: Array) -> Face | None:
        weights = sum_of.at(x)
        return None if weights is None else hinge_face(sum_of, forces, weights, y)

    return of_hinges


def _along(term: Square | RowTerm, y: Array, directions: Array, t: ca.SX) -> ca.SX | None:
    """A large term of F over ``y + directions t``."""
    if isinstance(term, RowTerm):
        if term.weights is not None:
            return None
        matrix = term.rows.matrix
        z = ca.DM(matrix @ y[term.places]) + ca.DM(matrix @ directions[term.places]) @ t
        losses = term.row.map(len(term.rows.target))(z.T, ca.DM(term.rows.target).T)[0].T
        return ca.dot(losses, ca.DM(term.numbers))
    factor = term.factor
    residual = factor.matrix @ y[term.places] - factor.target
    moved = factor.matrix @ directions[term.places]
    return (
        float(residual @ residual) + 2.0 * ca.dot(ca.DM(moved.T @ residual), t) + ca.bilin(ca.DM(moved.T @ moved), t, t)
    )
