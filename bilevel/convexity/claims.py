"""What has to be shown of a follower, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import casadi as ca

from bilevel.convexity.curvature import Curvature


@dataclass(frozen=True)
class Convexity:
    """What is known of one follower.

    Attributes
    ----------
    verdict : {"proved", "refuted", "unknown"}
        Of its convexity in y for every x in its box.
    reason : str
        How it was proved, or the component, term and point to blame.
    qualified : bool
        Whether a constraint qualification holds for every x for which the follower is feasible. If not, reason says so.
    witness : dict or None
        Values by name at a point of negative curvature.
    smooth : bool
        Whether the functions are differentiable in y throughout; a maximum or an absolute value is not.
    """

    verdict: Literal["proved", "refuted", "unknown"]
    reason: str
    qualified: bool
    witness: dict[str, float] | None = None
    smooth: bool = True


@dataclass(frozen=True)
class Claim:
    """A function that has to be convex.

    Attributes
    ----------
    component : ComponentData
        The objective or constraint.
    expression : Pyomo expression
        What it holds.
    sign : int
        +1 where the function is what the component holds, -1 where it is its negative.
    function : SX
        The function.
    wanted : str
        What the component has to be: convex, concave or affine.
    shape : Curvature
        What composition says of the function.
    """

    component: Any
    expression: Any
    sign: int
    function: ca.SX
    wanted: str
    shape: Curvature
