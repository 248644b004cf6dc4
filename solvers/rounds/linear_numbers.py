"""The numbers of a program that is linear and has no parameters."""

from __future__ import annotations

from dataclasses import dataclass

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.programs.program import Program, Shape


@dataclass(frozen=True)
class Numbers:
    """``slope . v + constant`` and ``low <= matrix v <= high``."""

    slope: Array
    constant: float
    matrix: Array
    low: Array
    high: Array


def numbers_of(program: Program) -> Numbers | None:
    """The numbers of a program without parameters, where it is linear and has no special ordered sets."""
    if program.shape is not Shape.LINEAR or program.sos1:
        return None
    parts = [ca.densify(program.gradient), program.objective, ca.densify(program.jacobian), program.rows]
    function = ca.Function("numbers", [program.variables], parts)
    slope, constant, matrix, offset = (np.array(part) for part in function(np.zeros(program.n)))
    offset = offset.reshape(-1)
    return Numbers(
        slope.reshape(-1),
        float(constant.item()),
        matrix.reshape(program.m, program.n),
        program.row_lower - offset,
        program.row_upper - offset,
    )
