"""Parts by name: searches, surrogates, treatments, engines and paths find their way here by ``@register("name")``.

The catalogue of what ships is read from the source text (the decorator's name, the docstring's first line and its last
paragraph), so that listing the methods imports none of them. A part registered in a user's own model file works as any
other.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, TypeVar

from bilevel.contracts.engine import Engine
from bilevel.contracts.part import Part
from bilevel.contracts.path import Path
from bilevel.contracts.pool import Pool
from bilevel.contracts.pruner import Pruner
from bilevel.contracts.search import Search
from bilevel.contracts.storage import Kept, Storage
from bilevel.contracts.surrogate import Surrogate
from bilevel.contracts.treatment import Treatment
from bilevel.errors import StudyError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOMS: dict[type[Part], str] = {
    Path: "paths",
    Search: "searches",
    Surrogate: "surrogates",
    Treatment: "complementarity",
    Engine: "engines",
    Pool: "pools",
    Storage: "storages",
    Pruner: "pruners",
}

_registered: dict[type[Part], dict[str, type[Part]]] = {contract: {} for contract in ROOMS}

P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class Entry:
    """A part in the catalogue.

    Attributes
    ----------
    name : str
        What users write.
    summary : str
        The first line of its docstring.
    when : str
        The sentence that ends its docstring, "Take it when ...", which names the nearest neighbour; empty without one.
    module : str
        What holds it; empty for ``auto``, which is no part.
    preference : float
        Of a path: its place in ``auto``, as its class says; 0 of other parts.
    """

    name: str
    summary: str
    when: str
    module: str
    preference: float = 0.0

    @classmethod
    def of(cls, name: str, docstring: str | None, module: str, preference: float = 0.0) -> Entry:
        """Read a part's docstring."""
        text = inspect.cleandoc(docstring or "")
        last = " ".join(text.rpartition("\n\n")[2].removeprefix("Notes\n-----\n").split())
        when = last if last.startswith("Take it when ") else ""
        return cls(name, text.partition("\n")[0], when, module, preference)


AUTO = Entry(
    "auto",
    "An exact method where one accepts the model, else a search.",
    "Take it when you do not know which: exact paths come first, the one that suits best before ``kkt``, and a search "
    "where they refuse or bring home no proof.",
    "",
)

_LOOP = "search"  # the path behind every search: not a method of its own


def _contract_of(part: type[Part]) -> type[Part]:
    for contract in ROOMS:
        if issubclass(part, contract):
            return contract
    names = ", ".join(contract.__name__ for contract in ROOMS)
    raise TypeError(f"@register: {part.__name__} implements none of {names}; inherit from one of them")


def register(name: str) -> Callable[[type[P]], type[P]]:
    """Class decorator that makes a part available under a name.

    Parameters
    ----------
    name : str
        What users write: ``method="name"``, ``complementarity="name"``, ``engine="name"``.

    Raises
    ------
    TypeError
        If the class implements no contract of :mod:`bilevel.contracts.engine`.
    """

    def enter(part: type[P]) -> type[P]:
        part.name = name
        _registered[_contract_of(part)][name] = part
        return part

    return enter


@cache
def _shipped(contract: type[Part]) -> dict[str, Entry]:
    """The parts of one room, read from the files' text without importing them."""
    package = importlib.import_module("bilevel.solvers")
    room = ROOMS[contract]
    folder = FilePath(str(package.__file__)).parent / room
    prefix = ".".join(filter(None, ["bilevel.solvers", room]))
    found = {}
    for file in sorted(folder.glob("*.py")):
        for node, preference in _classes(file.read_text(encoding="utf-8")):
            name = _registered_name(node)
            if isinstance(node, ast.ClassDef) and name is not None:
                found[name] = Entry.of(name, ast.get_docstring(node), f"{prefix}.{file.stem}", preference)
    return found


def _classes(text: str) -> Iterator[tuple[ast.stmt, float]]:
    """The registered classes of a file up to their docstring, and what each says of its preference.

    The rest is not parsed: for all files of a room that takes ten times as long.
    """
    starts = [found.start() for found in re.finditer("^@register", text, re.MULTILINE)]
    for start, end in pairwise([*starts, len(text)]):
        opening = text.index('"""', start)
        closing = text.index('"""', opening + 3) + 3
        said = re.compile(r"^    preference = ([\d.]+)$", re.MULTILINE).search(text, closing, end)
        yield ast.parse(text[start:closing]).body[0], float(said[1]) if said else 0.0


def _registered_name(node: ast.stmt) -> str | None:
    for decorator in getattr(node, "decorator_list", []):
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "register" and decorator.args:
            argument = decorator.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                return argument.value
    return None


def foreign() -> list[type[Part]]:
    """The parts that do not ship with this package: registered by the user's own files."""
    found = [part for parts in _registered.values() for part in parts.values()]
    return [part for part in found if not part.__module__.startswith("bilevel.")]


def admit(parts: Iterable[type[Part]]) -> None:
    """Register parts that come from another process under the names they had there."""
    for part in parts:
        register(part.name)(part)


def catalogue(contract: type[Part]) -> dict[str, Entry]:
    """Every part of one kind, by name, in alphabetical order; those a user registered included."""
    entries = dict(_shipped(contract))
    for name, part in _registered[contract].items():
        if name not in entries or part.__module__ != entries[name].module:
            entries[name] = Entry.of(name, part.__doc__, part.__module__, getattr(part, "preference", 0.0))
    return dict(sorted(entries.items()))


def methods() -> dict[str, Entry]:
    """All that ``method=`` may name: ``auto``, the paths, the searches."""
    paths = {name: entry for name, entry in catalogue(Path).items() if name != _LOOP}
    return {AUTO.name: AUTO, **paths, **catalogue(Search)}


def find(contract: type[P], name: str) -> type[P] | None:
    """The part registered under a name, or None; of a family ``part:variant``, the part with that variant."""
    family, colon, variant = name.partition(":")
    if colon and name not in _registered[contract]:
        part = find(contract, family)
        if part is None or not hasattr(part, "variant"):
            return None
        return type(part.__name__, (part,), {"name": name, "variant": variant, "__doc__": part.__doc__})
    if name not in _registered[contract] and name in _shipped(contract):
        importlib.import_module(_shipped(contract)[name].module)
    return _registered[contract].get(name)  # type: ignore[return-value]


_DATABASES = (".db", ".sqlite", ".sqlite3")
_UNNAMED = "bilevel"  # a study that nobody named


def study_at(address: Any) -> Kept:
    """The study at an address, by the storage that its scheme names; or in an object.

    Parameters
    ----------
    address : str, storage, or pair of storage and name
        ``#name`` behind an address names the study. A path without a scheme is a journal file, or an SQLite file where
        its name ends so.

    Raises
    ------
    StudyError
        If no storage is called by the scheme, or it cannot open the place.
    """
    if not isinstance(address, str):
        held, name = address if isinstance(address, tuple) else (address, _UNNAMED)
        return get(Storage, "optuna")().open(held, name)
    place, _, name = address.partition("#")
    scheme, colon, _ = place.partition("://")
    plain = "sqlite" if place.endswith(_DATABASES) else "journal"
    part = find(Storage, scheme.partition("+")[0] if colon else plain)
    if part is None:
        known = ", ".join(f"{name}:" for name in catalogue(Storage))
        raise StudyError(f"study {address}: no storage is called {scheme}:; there are {known} (study.log)")
    return part().open(place, name or _UNNAMED)


def get(contract: type[P], name: str) -> type[P]:
    """The part registered under a name.

    Raises
    ------
    UnknownNameError
        If there is none; the message lists those there are.
    """
    part = find(contract, name)
    if part is None:
        kind = contract.__name__.lower()
        hint = f", or 'pyomo:{name}' if Pyomo has a solver of that name" if contract is Engine else ""
        raise UnknownNameError(f"no {kind} is called {name!r}; there are: {', '.join(catalogue(contract))}{hint}")
    return part
