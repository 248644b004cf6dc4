"""The options of methods: which there are, and what is refused by name.

A misspelt option that nobody looks at is worse than an error: ``tim_limit=3`` runs for an hour.
"""

from __future__ import annotations

import difflib
import inspect
import math
import numbers
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any

from bilevel import registry
from bilevel.contracts.path import Path
from bilevel.contracts.search import Search
from bilevel.errors import OptionError
from bilevel.files.arguments import convert, parameters_of

AUTO = "auto"
_SEARCHES_OF_AUTO = ("surrogate", "random", "grid", "gradient")


def options_of(method: str) -> Mapping[str, inspect.Parameter]:
    """The options that a method takes, by name; those of ``auto`` are its paths' and its searches'."""
    if method == AUTO:
        paths = [registry.get(Path, name) for name, entry in registry.catalogue(Path).items() if entry.preference > 0]
        found = {name: p for part in paths for name, p in _of_path(part).items()}
        for name in _SEARCHES_OF_AUTO:
            found |= dict(options_of(name)) if registry.find(Search, name) is not None else {}
        return found
    search = registry.find(Search, method.partition(":")[0])
    if search is not None:
        return {name: p for name, p in parameters_of(search.__init__).items() if p.kind is p.KEYWORD_ONLY}
    path = registry.find(Path, method)
    return {} if path is None else _of_path(path)


def _of_path(path: type[Path]) -> dict[str, inspect.Parameter]:
    kind = inspect.Parameter.KEYWORD_ONLY
    return {name: inspect.Parameter(name, kind, annotation=wanted) for name, wanted in path.options.items()}


def known(method: str, options: Mapping[str, Any], general: Collection[str]) -> dict[str, Any]:
    """The options of a method, text read as what is wanted.

    Parameters
    ----------
    method : str
        Its name.
    options : dict
        As given.
    general : collection of str
        The arguments that every method takes, which may be meant as well.

    Raises
    ------
    OptionError
        If the method has no option of a name, or takes no such value.
    """
    if not options:
        return {}  # those of ``auto`` are found by importing every path
    own = options_of(method)
    for name in options:
        if name not in own:
            raise OptionError(_unknown(f"{method} has no option {name!r}", name, own, general))
    return {name: typed(name, value, own[name]) for name, value in options.items()}


def _unknown(complaint: str, name: str, own: Collection[str], general: Collection[str]) -> str:
    """A complaint about a name, with what there is and what may be meant."""
    close = difflib.get_close_matches(name, [*own, *general], n=1)
    return f"{complaint}; it takes {', '.join(own) or 'none'}" + (f"; did you mean {close[0]}?" if close else "")


_KINDS: dict[type, type] = {int: numbers.Integral, float: numbers.Real}


def typed(name: str, value: Any, parameter: inspect.Parameter | None) -> Any:
    """The value, text read as what the parameter's annotation says.

    Raises
    ------
    OptionError
        If the value is of another type.
    """
    if parameter is None or parameter.annotation is parameter.empty or isinstance(parameter.annotation, str):
        return value
    try:
        value = convert(value, parameter)
    except ValueError as error:
        raise OptionError(str(error)) from None
    wanted = parameter.annotation
    union = typing.get_origin(wanted) in (typing.Union, types.UnionType)
    kinds = typing.get_args(wanted) if union else (wanted,)
    if not all(kind in (int, float, bool, str, type(None)) for kind in kinds) or _is_any(value, kinds):
        return value
    names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
    raise OptionError(f"{name}={value!r}: not of type {names}")


def _is_any(value: Any, kinds: Collection[type]) -> bool:
    if isinstance(value, bool) or type(value).__name__ == "bool":  # numpy's too; True is no number here
        return bool in kinds
    return any(isinstance(value, _KINDS.get(kind, kind)) for kind in kinds)


def count(name: str, value: Any, least: int, complaint: str) -> int:
    """A whole number, from text too.

    Raises
    ------
    OptionError
        If it is none, or below ``least``.
    """
    whole = typed(name, value, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=int))
    if whole < least:
        raise OptionError(f"{name}={whole}: {complaint}")
    return int(whole)


def seconds(name: str, value: Any) -> float:
    """A time above zero, from text too.

    Raises
    ------
    OptionError
        If it is none.
    """
    found = typed(name, value, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=float))
    if not found > 0 or math.isnan(found):
        raise OptionError(f"{name}={found}: must be positive")
    return float(found)
