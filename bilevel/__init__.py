"""Bilevel optimization on Pyomo: declare both levels, search or reformulate, verify, compare.

The public names are loaded on first use, so that ``python -m bilevel.solve --help`` need not wait for Pyomo.
"""

from __future__ import annotations

import importlib
from pathlib import Path as _FilePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bilevel.comparison import compare as compare
    from bilevel.conditions import ActiveWhen as ActiveWhen
    from bilevel.contracts import Engine as Engine
    from bilevel.contracts import Observer as Observer
    from bilevel.contracts import Path as Path
    from bilevel.contracts import Search as Search
    from bilevel.contracts import Treatment as Treatment
    from bilevel.domains import Allowed as Allowed
    from bilevel.domains import discretize as discretize
    from bilevel.domains import set_scale as set_scale
    from bilevel.duals import dual_of as dual_of
    from bilevel.errors import BilevelError as BilevelError
    from bilevel.explaining import explain as explain
    from bilevel.expressions import least_squares as least_squares
    from bilevel.expressions import maximum as maximum
    from bilevel.loading import load_model as load_model
    from bilevel.lower_level import LowerLevel as LowerLevel
    from bilevel.problem import Problem as Problem
    from bilevel.registry import register as register
    from bilevel.response import Response as Response
    from bilevel.result import Result as Result
    from bilevel.solving import solve as solve

__version__ = "0.1.0"

_HOMES = {
    "ActiveWhen": "conditions",
    "Allowed": "domains",
    "BilevelError": "errors",
    "Engine": "contracts",
    "LowerLevel": "lower_level",
    "Observer": "contracts",
    "Path": "contracts",
    "Problem": "problem",
    "Response": "response",
    "Result": "result",
    "Search": "contracts",
    "Treatment": "contracts",
    "compare": "comparison",
    "discretize": "domains",
    "dual_of": "duals",
    "explain": "explaining",
    "least_squares": "expressions",
    "load_model": "loading",
    "maximum": "expressions",
    "register": "registry",
    "set_scale": "domains",
    "solve": "solving",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bilevel' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bilevel.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


# An installed package holds its methods as bilevel/solvers; a checkout has them one folder up.
if not (_FilePath(__file__).parent / "solvers").is_dir():
    __path__.append(str(_FilePath(__file__).parent.parent))
