"""Who may import whom, checked on the text of every file; and that the catalogue tells the truth."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import bilevel
from bilevel import registry
from bilevel.contracts.part import Part

ROOT = Path(__file__).parent.parent
LANGUAGE = sorted((ROOT / "bilevel").rglob("*.py"))
METHODS = sorted((ROOT / "solvers").rglob("*.py"))
GALLERY = sorted([*(ROOT / "models").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])
EVERY = [*LANGUAGE, *METHODS, *GALLERY]
PATHS = [file for file in METHODS if file.parent.name == "paths" and file.stem != "__init__"]
ROOMS = {room: f"bilevel.solvers.{room}" for room in registry.ROOMS.values()}
AT_HOME = ("optuna", "dask", "matplotlib", "loky", "sqlite3")  # each in one file
LAZY = ("optuna", "dask", "matplotlib", "loky", "cloudpickle", "distributed", "cmaes", "pandas")


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


@dataclass(frozen=True)
class Import:
    """``module`` as written; ``names`` what is taken from it; ``lazy`` where it waits for a call."""

    module: str
    names: tuple[str, ...]
    lazy: bool
    typing_only: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    def reaches(self) -> list[str]:
        """Every module this may load: ``from a import b`` may mean a.b."""
        return [self.module, *(f"{self.module}.{name}" for name in self.names)]


@cache
def imports_of(file: Path) -> tuple[Import, ...]:
    return tuple(_walk(ast.parse(file.read_text(encoding="utf-8")), package_of(file), lazy=False, typing_only=False))


def package_of(file: Path) -> list[str]:
    """The package a file belongs to once installed: what a relative import starts from."""
    package = list(file.relative_to(ROOT).parent.parts)
    return ["bilevel", *package] if package[0] == "solvers" else package


def _walk(node: ast.AST, package: list[str], *, lazy: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, (), lazy, typing_only) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) + 1 - child.level] if child.level else []
            module = ".".join([*base, *filter(None, [child.module])])
            yield Import(module, tuple(alias.name for alias in child.names), lazy, typing_only)
        elif isinstance(child, ast.Call) and _is_import_call(child):
            yield Import(child.args[0].value, (), lazy, typing_only)
        else:
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            guarded = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            yield from _walk(child, package, lazy=lazy or inside, typing_only=typing_only or guarded)
            continue
        yield from _walk(child, package, lazy=lazy, typing_only=typing_only)


def _is_import_call(call: ast.Call) -> bool:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    constant = bool(call.args) and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    return name in ("import_module", "__import__") and constant


def concrete_parts(file: Path) -> set[str]:
    """Modules of solvers rooms or paths that a file names."""
    own = {name for found in imports_of(file) for name in found.reaches() if name.startswith("bilevel.solvers.")}
    return {name for name in own if name not in ROOMS.values()}


@pytest.mark.parametrize("file", LANGUAGE, ids=shown)
def test_the_language_knows_no_method(file):
    for found in imports_of(file):
        assert found.top not in ("solvers", "models", "examples", "tests", "benchmarks"), found
        if file.stem in ("registry", "response"):
            continue  # the one door: it finds a part by its name
        assert not found.module.startswith("bilevel.solvers"), f"{found.module}: ask the registry by name"
        assert "solvers" not in found.names, found


@pytest.mark.parametrize("file", PATHS, ids=shown)
def test_a_path_names_no_concrete_part(file):
    rooms = tuple(f"{module}." for module in ROOMS.values())
    assert not [name for name in concrete_parts(file) if name.startswith(rooms)], "parts come from the registry"


@pytest.mark.parametrize("room", [*ROOMS])
def test_the_rooms_keep_apart(room):
    may = {"searches": ("bilevel.solvers.surrogates", "bilevel.solvers.searches.model_based.acquisition")}.get(room, ())
    """A part may be spread over a folder of its own; what it may not do is lean on another room, or on another part."""
    parts = {entry.module for contract in registry.ROOMS for entry in registry.catalogue(contract).values()}
    for file in sorted((ROOT / "solvers" / room).rglob("*.py")):
        own = ".".join([*package_of(file), file.stem])
        named = concrete_parts(file)
        foreign = {n for n in named if not n.startswith((f"{ROOMS[room]}.", *may))}
        assert not foreign, f"{shown(file)} imports {foreign} of another room"
        others = {part for part in parts - {own} for n in named if n == part or n.startswith(f"{part}.")}
        assert not {p for p in others if not p.startswith(may or "-")}, f"{shown(file)} imports the parts {others}"


@pytest.mark.parametrize("file", METHODS, ids=shown)
def test_the_methods_import_the_language_by_its_installed_name(file):
    assert not [i for i in imports_of(file) if i.top in ("solvers", "models", "examples", "tests", "benchmarks")]


@pytest.mark.parametrize("file", GALLERY, ids=shown)
def test_models_and_examples_use_only_public_names(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for found in imports_of(file):
        if found.top == "bilevel":
            assert found.module == "bilevel", f"{found.module} is not public"
            assert set(found.names) <= set(bilevel.__all__), found.names
        assert found.top not in ("solvers", "tests"), found
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "bilevel":
            assert node.attr in bilevel.__all__, f"bilevel.{node.attr} is not public"


def test_networkx_only_in_structure_and_models():
    files = [f for f in EVERY if any(i.top == "networkx" for i in imports_of(f))]
    assert [shown(f) for f in files if f.parent.name != "models"] == ["bilevel/reading/structure.py"]


def test_cyipopt_only_in_its_engine():
    assert [shown(f) for f in EVERY if any(i.top == "cyipopt" for i in imports_of(f))] == ["solvers/engines/ipopt.py"]
    naming = {shown(f) for f in EVERY if "cyipopt." in f.read_text(encoding="utf-8").replace("install_cyipopt.", "")}
    assert naming <= {"solvers/engines/ipopt.py", "bilevel/install_cyipopt.py"}


@pytest.mark.parametrize("package", LAZY)
def test_heavy_packages_wait_for_their_call(package):
    found = [(shown(f), i) for f in [*LANGUAGE, *METHODS] for i in imports_of(f) if i.top == package]
    assert not [file for file, i in found if not (i.lazy or i.typing_only)]
    if package in AT_HOME:
        assert len({file for file, _ in found}) <= 1, f"{package} is imported in {sorted({file for file, _ in found})}"


@pytest.mark.parametrize("file", EVERY, ids=shown)
def test_no_file_hides_a_standard_module(file):
    assert file.stem == "__init__" or file.stem not in sys.stdlib_module_names


def test_public_names_resolve():
    assert bilevel.__all__ == sorted(set(bilevel.__all__))
    for name in bilevel.__all__:
        assert getattr(bilevel, name) is not None
    assert set(bilevel.__all__) <= set(dir(bilevel))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'solver'"):
        bilevel.solver  # noqa: B018


def test_importing_the_package_loads_no_solver():
    import subprocess

    code = "import sys, bilevel; print(sorted({'pyomo', 'casadi', 'numpy', 'optuna'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("contract", list(registry.ROOMS), ids=lambda c: c.__name__)
def test_every_part_says_what_it_is_in_one_line(contract):
    for name, entry in registry.catalogue(contract).items():
        assert entry.summary.endswith("."), f"{contract.__name__} {name}: {entry.summary!r}"
        assert len(entry.summary) <= 120, f"{contract.__name__} {name}: longer than a line of the help"


def test_the_catalogue_read_from_text_is_what_importing_registers():
    import bilevel.solvers

    for module in pkgutil.walk_packages(bilevel.solvers.__path__, "bilevel.solvers."):
        importlib.import_module(module.name)
    for contract in registry.ROOMS:
        registered = {
            name: part.__module__
            for name, part in registry._registered[contract].items()
            if part.__module__.startswith("bilevel.solvers")
        }
        assert registered == {name: entry.module for name, entry in registry._shipped(contract).items()}
        for name in registered:
            assert registry.get(contract, name).name == name


def test_every_part_is_final():
    """Abstract or final: a part inherits from its contract (and helpers of its own file), never from another part."""
    parts = {
        part
        for contract in registry.ROOMS
        for name in registry.catalogue(contract)
        for part in [registry.get(contract, name)]
    }
    for part in parts:
        ancestors = set(part.__mro__[1:])
        assert not ancestors & parts, f"{part.__name__} inherits from another part"


def test_register_refuses_what_implements_no_contract():
    with pytest.raises(TypeError, match="Engine"):
        registry.register("nothing")(type("Nothing", (), {}))
    assert issubclass(next(iter(registry.ROOMS)), Part)


def test_an_unknown_part_lists_those_there_are():
    from bilevel.contracts.engine import Engine
    from bilevel.errors import UnknownNameError

    with pytest.raises(UnknownNameError, match="highs"):
        registry.get(Engine, "gurobi")
