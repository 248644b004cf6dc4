"""Bounds on multipliers that a user knows: read, and told apart from what is proved.

Keys are a follower's constraint, or the name of one or of a variable, alone or with a side; values bound the
multiplier's size. Nothing here is believed: where such a bound is used and nothing proves it, no bound on F counts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from bilevel.errors import OptionError


def name_of(key: Any) -> Any:
    """A key of ``dual_bounds`` by name: ``"lower.cap"`` or ``("lower.cap", "upper")``."""
    if isinstance(key, tuple) and len(key) == 2:
        return (getattr(key[0], "name", key[0]), key[1])
    return getattr(key, "name", key)


def sides_given(bounds: Mapping[Any, Any], sides: Collection[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """What is given of each multiplier, by (source, side).

    Raises
    ------
    OptionError
        If a key is no follower's constraint or variable that has a multiplier, or a value is no bound.
    """
    if not isinstance(bounds, Mapping):
        raise OptionError('dual_bounds is a dict of multipliers\' bounds: dual_bounds={"lower.cap": 100}')
    found: dict[tuple[str, str], float] = {}
    for key, limit in bounds.items():
        name = name_of(key)
        meant = [side for side in sides if name in (side, side[0]) or _indexed(name, side[0])]
        if not meant:
            known = ", ".join(dict.fromkeys(source for source, _ in sides))
            raise OptionError(f"dual_bounds: {name} has no multiplier; those with one are {known or 'none'}")
        if isinstance(limit, (bool, str)) or not hasattr(limit, "__float__") or not 0.0 <= float(limit) < math.inf:
            raise OptionError(f"dual_bounds: {name} has {limit!r}, which is no bound; give a finite number from 0 on")
        for side in meant:
            found[side] = min(float(limit), found.get(side, math.inf))
    return found


def _indexed(name: Any, source: str) -> bool:
    """Whether a source is a member of an indexed component of that name."""
    return isinstance(name, str) and source.startswith(f"{name}[")
