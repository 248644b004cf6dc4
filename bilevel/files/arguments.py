"""Settings of a model file: ``create_model(**settings)`` filled in from text."""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from bilevel.errors import LoadingError


def arguments_of(create: Callable[..., Any], settings: dict[str, Any], shown: str) -> dict[str, Any]:
    """The settings as arguments of ``create_model``, text converted."""
    parameters = parameters_of(create)
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = {n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for name in settings:
        if name not in named and not anything:
            known = ", ".join(n if p.default is p.empty else f"{n}={p.default}" for n, p in named.items())
            raise LoadingError(f"{shown} has no setting {name!r}; it has {known or 'none'}")
    missing = [n for n, p in named.items() if p.default is p.empty and n not in settings]
    if missing:
        raise LoadingError(f"{shown} needs a value for {', '.join(missing)}: --set {missing[0]}=value")
    try:
        return {n: convert(v, named.get(n)) for n, v in settings.items()}
    except ValueError as error:
        raise LoadingError(f"{shown}: setting {error}") from error


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a function, their annotations evaluated where that is possible."""
    try:
        return inspect.signature(function, eval_str=True).parameters
    except Exception:  # an annotation may name what was imported for a type checker only: one by one, then
        own = inspect.signature(function).parameters
        return {name: p.replace(annotation=_evaluated(p.annotation, function)) for name, p in own.items()}


def _evaluated(annotation: Any, function: Callable[..., Any]) -> Any:
    if isinstance(annotation, str):
        with suppress(Exception):
            return eval(annotation, getattr(function, "__globals__", {}))
    return annotation


_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


_READERS: dict[type, Callable[[str], Any]] = {  # in the order in which a union is tried; every text is a str
    type(None): lambda text: {"none": None}[text.lower()],
    bool: lambda text: _TRUTH[text.lower()],
    int: int,
    float: float,
    str: str,
}


def convert(value: Any, parameter: inspect.Parameter | None) -> Any:
    """Text from a command line as what a parameter takes; anything but text stays as it is.

    Parameters
    ----------
    value : object
        Usually text.
    parameter : inspect.Parameter or None
        Whose annotation, or else the type of whose default, says what is wanted: ``bool``, ``int``, ``float``, ``str``,
        or a union of these and ``None``. Where it says something else or nothing, text that is a Python literal is
        taken as one.

    Raises
    ------
    ValueError
        If the text is not what is wanted.
    """
    if not isinstance(value, str):
        return value
    kinds = _kinds(parameter)
    for kind in kinds:
        with suppress(ValueError, KeyError):
            return _READERS[kind](value)
    if kinds and parameter is not None:
        raise ValueError(f"{parameter.name}={value}: not of type {' or '.join(kind.__name__ for kind in kinds)}")
    with suppress(ValueError, SyntaxError):
        return ast.literal_eval(value)
    return value


def _kinds(parameter: inspect.Parameter | None) -> list[type]:
    """The types a parameter takes, where text can be read as each of them."""
    if parameter is None:
        return []
    wanted = parameter.annotation
    if wanted is parameter.empty or isinstance(wanted, str):
        silent = parameter.default is parameter.empty or parameter.default is None
        wanted = object if silent else type(parameter.default)
    union = typing.get_origin(wanted) in (typing.Union, types.UnionType)
    kinds = typing.get_args(wanted) if union else (wanted,)
    return [kind for kind in _READERS if kind in kinds] if all(kind in _READERS for kind in kinds) else []
