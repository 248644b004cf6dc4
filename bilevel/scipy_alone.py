"""SciPy without its statistics, which Pyomo would load along with it.

Pyomo watches for SciPy to be imported by anyone, and then imports ``scipy.stats`` and with it most of SciPy: the larger
part of the second that a small problem takes from end to end. It loses nothing where it is not told: its own deferred
``scipy`` is complete as soon as Pyomo itself asks for it.
"""

from __future__ import annotations

import importlib
import sys

import numpy  # noqa: F401  (SciPy needs it, and of NumPy's types Pyomo has to be told)
from pyomo.common.dependencies import DeferredImportCallbackFinder


def import_scipy_alone() -> None:
    """Import SciPy while Pyomo does not watch; where it is imported already, nothing happens."""
    finders = list(sys.meta_path)
    sys.meta_path[:] = [finder for finder in finders if not isinstance(finder, DeferredImportCallbackFinder)]
    try:
        importlib.import_module("scipy")
    finally:
        sys.meta_path[:] = finders
