"""Bilevel optimization on Pyomo: declare both levels, search or reformulate, verify, compare.

The public names are loaded on first use, so that ``python -m bilevel.solve --help`` need not wait for Pyomo.
"""

from __future__ import annotations

import importlib
from pathlib import Path as _FilePath
from typing import TYPE_CHECKING, Any

from bilevel.version import __version__ as __version__

if TYPE_CHECKING:
    from bilevel import blocks as blocks
    from bilevel.api.comparing import compare as compare
    from bilevel.api.explaining import explain as explain
    from bilevel.api.solving import solve as solve
    from bilevel.api.sweeping import sweep as sweep
    from bilevel.contracts.engine import Engine as Engine
    from bilevel.contracts.observer import Observer as Observer
    from bilevel.contracts.path import Path as Path
    from bilevel.contracts.search import Search as Search
    from bilevel.contracts.treatment import Treatment as Treatment
    from bilevel.errors import BilevelError as BilevelError
    from bilevel.files.model_files import load_model as load_model
    from bilevel.files.mps_aux import write_mps_aux as write_mps_aux
    from bilevel.language.active_when import ActiveWhen as ActiveWhen
    from bilevel.language.domains import Allowed as Allowed
    from bilevel.language.domains import discretize as discretize
    from bilevel.language.domains import set_scale as set_scale
    from bilevel.language.duals import dual_of as dual_of
    from bilevel.language.formulas import least_squares as least_squares
    from bilevel.language.formulas import maximum as maximum
    from bilevel.language.lower_level import LowerLevel as LowerLevel
    from bilevel.language.row_losses import rows_of as rows_of
    from bilevel.language.trials.fidelity import fidelity as fidelity
    from bilevel.language.trials.once import report_once as report_once
    from bilevel.language.trials.trial import TrialPruned as TrialPruned
    from bilevel.reading.problem import Problem as Problem
    from bilevel.registry import register as register
    from bilevel.response.response import Response as Response
    from bilevel.results.progress import ProgressLine as ProgressLine
    from bilevel.results.result import Result as Result


_HOMES = {
    "ActiveWhen": "language.active_when",
    "Allowed": "language.domains",
    "BilevelError": "errors",
    "Engine": "contracts.engine",
    "LowerLevel": "language.lower_level",
    "Observer": "contracts.observer",
    "Path": "contracts.path",
    "Problem": "reading.problem",
    "ProgressLine": "results.progress",
    "Response": "response.response",
    "Result": "results.result",
    "Search": "contracts.search",
    "Treatment": "contracts.treatment",
    "TrialPruned": "language.trials.trial",
    "compare": "api.comparing",
    "discretize": "language.domains",
    "dual_of": "language.duals",
    "explain": "api.explaining",
    "fidelity": "language.trials.fidelity",
    "least_squares": "language.formulas",
    "load_model": "files.model_files",
    "maximum": "language.formulas",
    "register": "registry",
    "report_once": "language.trials.once",
    "rows_of": "language.row_losses",
    "set_scale": "language.domains",
    "solve": "api.solving",
    "sweep": "api.sweeping",
    "write_mps_aux": "files.mps_aux",
}

_ROOMS = ("blocks",)  # whose names are public as bilevel.<room>.<name>

__all__ = sorted([*_HOMES, *_ROOMS, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        importlib.import_module("bilevel.pyomo_entries")
        return importlib.import_module(f"bilevel.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'bilevel' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bilevel.{_HOMES[name]}"), name)
    if _HOMES[name].startswith("language."):
        importlib.import_module("bilevel.pyomo_entries")  # who declares a follower finds us in Pyomo's factories
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


# An installed package holds its methods as bilevel/solvers; a checkout has them one folder up.
if not (_FilePath(__file__).parent / "solvers").is_dir():
    __path__.append(str(_FilePath(__file__).parent.parent))
