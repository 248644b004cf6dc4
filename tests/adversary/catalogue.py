"""All families, and the problem of a seed."""

from __future__ import annotations

import families_of_learning  # noqa: F401 -- enters its own
from draw import Draw
from families import FAMILIES
from stated_problem import Stated


def drawn(seed: int, names: tuple[str, ...] = ()) -> Stated:
    """The problem of a seed: families in turn."""
    names = names or tuple(FAMILIES)
    name = names[seed % len(names)]
    return FAMILIES[name](Draw(name, seed))
