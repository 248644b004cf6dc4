"""Independent parts of one lower level, each answered by the engine that suits it.

Two variables belong together where a row holds both or their product stands in the objective: the connected components
of that graph are programs of their own, and the optimum of the whole is theirs, side by side. A follower written as
one block is often many: folds, customers, periods without a link. An active-set method takes time like the cube of the
variables and branch and bound like their exponential, so that ten parts of ten are far less work than one of a hundred.
"""

from __future__ import annotations

import casadi as ca
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.programs.answer import Answer, Status
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Program, Shape
from bilevel.registry import register
from bilevel.response.answering import Answering

_SMALLEST = 40  # continuous variables up to which one call for all is as fast
_WORTH = 16  # integer variables from which branching on all of them together is the slower way
_TOGETHER = 12  # continuous variables that are solved together even though they are independent: a call has its price
_MOST = 50  # parts; beyond, sparse linear algebra over all of them is faster


@register("components")
class Components(Engine):
    """Lower levels that fall into independent parts: quadratic and mixed-integer programs, part by part.

    Take it when one lower level falls into parts that share no row and no product, with many integers above all; where
    it does not, ``daqp`` and ``highs`` take it whole.
    """

    def suits(self, program: Program) -> float:
        if program.squares or program.moving or program.sos1 or program.shape is Shape.NONLINEAR:
            return 0.0
        integers = int(program.integer.sum())
        if integers < _WORTH and (integers or program.n < _SMALLEST or program.shape is Shape.LINEAR):
            return 0.0
        if not program.has_inequalities and not integers:
            return 0.0
        parts = _parts(program)
        if not 2 <= len(parts) <= _MOST or 2 * max(map(len, parts)) > program.n:
            return 0.0
        if integers and sum(bool(program.integer[part].any()) for part in parts) < 2:
            return 0.0
        if program.shape is Shape.QUADRATIC and not integers:
            form = numeric_form(program)
            if form.constant_hessian and form.definiteness < -tolerances.DEFINITE:
                return 0.0
        return 0.97

    def prepare(self, program: Program) -> Solver:
        return _SideBySide(program)


class _SideBySide(Solver):
    """One answering for each part; the last answers become one."""

    def __init__(self, program: Program) -> None:
        self._n = program.n
        self._places = _parts(program)
        self._parts = [Answering(part) for part in _split(program, self._places)]
        self.uses = frozenset().union(*(part.uses for part in self._parts))

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        answers = []
        for places, part in zip(self._places, self._parts, strict=True):
            answer = part(parameters, None if start is None else start[places], time_limit)
            if answer.status is Status.INFEASIBLE:
                return answer  # whatever the others say
            if self.gap is not None and answer.status is Status.OPTIMAL and answer.bound < answer.objective:
                answer = part.sharper(parameters, answer)
            answers.append(answer)
        worst = _first_that_failed(answers)
        return self._joined(answers) if worst is None else worst

    def _joined(self, answers: list[Answer]) -> Answer:
        y = np.empty(self._n)
        for places, answer in zip(self._places, answers, strict=True):
            y[places] = answer.y
        objective, bound = sum(a.objective for a in answers), sum(a.bound for a in answers)
        return Answer(Status.OPTIMAL, y, float(objective), float(bound), all(a.unique for a in answers))


def _first_that_failed(answers: list[Answer]) -> Answer | None:
    """None where all parts have optima; a part that falls forever counts only where every other has an answer."""
    without = [answer for answer in answers if answer.status is not Status.OPTIMAL]
    failed = [answer for answer in without if answer.status is not Status.UNBOUNDED]
    if failed:  # another engine may do better with the whole
        return Answer(Status.REFUSED, message=failed[0].message)
    return without[0] if without else None


def _parts(program: Program) -> list[NDArray[np.int_]]:
    """The variables of each part, those of continuous parts that are small put together."""
    rows, columns = (np.array(k, dtype=int) for k in program.hessian.sparsity().get_triplet())
    graph = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(program.n, program.n))
    rows, columns = (np.array(k, dtype=int) for k in program.jacobian.sparsity().get_triplet())
    incidence = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(program.m, program.n))
    _, label = connected_components(graph + incidence.T @ _ladder(incidence), directed=False)
    order = np.argsort(label, kind="stable")
    found = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    parts: list[list[int]] = []
    for part in found:
        small = len(part) <= _TOGETHER and not program.integer[part].any()
        if small and parts and len(parts[-1]) + len(part) <= _TOGETHER and not program.integer[parts[-1]].any():
            parts[-1] += part.tolist()
        else:
            parts.append(part.tolist())
    return [np.array(part, dtype=int) for part in parts]


def _ladder(incidence: sparse.csr_matrix) -> sparse.csr_matrix:
    """Each row's first variable alone, so that a row of k variables links them by k edges and not by k squared."""
    filled = np.diff(incidence.indptr) > 0
    first = incidence.indices[incidence.indptr[:-1][filled]]
    return sparse.csr_matrix((np.ones(len(first)), (np.flatnonzero(filled), first)), shape=incidence.shape)


def _split(program: Program, places: list[NDArray[np.int_]]) -> list[Program]:
    """A program for each part, written from coefficients: what the whole costs at zero goes to the first."""
    zero = ca.SX.zeros(program.n, 1)
    values = [program.gradient, program.objective, program.rows if program.m else ca.SX(0, 1)]
    slope, level, offset = ca.substitute(values, [program.variables], [zero])
    owner = np.empty(program.n, dtype=int)
    for k, part in enumerate(places):
        owner[part] = k
    rows, columns = (np.array(k, dtype=int) for k in program.jacobian.sparsity().get_triplet())
    of_row = np.zeros(program.m, dtype=int)  # a row without variables goes to the first part
    of_row[rows] = owner[columns]
    return [
        _part(program, part.tolist(), np.flatnonzero(of_row == k), slope, level if k == 0 else ca.SX(0.0), offset)
        for k, part in enumerate(places)
    ]


def _part(
    program: Program, part: list[int], rows: NDArray[np.int_], slope: ca.SX, level: ca.SX, offset: ca.SX
) -> Program:
    y, held = program.variables[part], rows.tolist()
    curved = 0.5 * ca.bilin(program.hessian[part, part], y, y)
    bodies = ca.mtimes(program.jacobian[held, part], y) + offset[held] if held else ca.SX(0, 1)
    return Program(
        name=program.name,
        parameters=program.parameters,
        variables=y,
        objective=level + curved + ca.dot(slope[part], y),
        rows=bodies,
        row_lower=program.row_lower[rows],
        row_upper=program.row_upper[rows],
        lower=program.lower[part],
        upper=program.upper[part],
        integer=program.integer[part],
        names=tuple(program.names[k] for k in part) if program.names else (),
        row_names=tuple(program.row_names[k] for k in held) if program.row_names else (),
        convex=program.convex,
        start=None if program.start is None else program.start[part],
    )
