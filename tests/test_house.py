"""Who may import whom, checked on the text of every file; and that the catalogue tells the truth."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import commands
import pytest

import bilevel
from bilevel import registry
from bilevel.contracts.part import Part

ROOT = Path(__file__).parent.parent
LANGUAGE = sorted((ROOT / "bilevel").rglob("*.py"))
METHODS = sorted((ROOT / "solvers").rglob("*.py"))
GALLERY = sorted([*(ROOT / "models").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])
EVERY = [*LANGUAGE, *METHODS, *GALLERY]
HOMES = {  # of single libraries
    "networkx": "bilevel/reading/structure.py",
    "cyipopt": "solvers/engines/ipopt.py",
    "sqlalchemy": "solvers/storages/",
    "loky": "solvers/pools/processes.py",
    "distributed": "solvers/pools/dask_cluster.py",
    "optuna": (
        "solvers/searches/optuna_search.py",
        "solvers/pruners/optuna_pruner.py",
        "solvers/storages/",
        "bilevel/optuna.py",
    ),
    "matplotlib": "bilevel/results/plots/",
    "sklearn": "bilevel/learning/",
}
LAZY = ("optuna", "sqlalchemy", "dask", "matplotlib", "loky", "cloudpickle", "distributed", "cmaes", "pandas")


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


# Layers from the ground up; a room may import what its row names, the ground, and its own files. A subroom is its room.
GROUND = {"errors", "tolerances", "arrays", "version", "deadline", "scipy_alone"}
MAY_IMPORT: dict[str, set[str]] = {
    "language": set(),
    "graphs": set(),
    "linear_algebra": set(),
    "solvers.libraries": set(),
    "expressions": {"language"},
    "blocks": {"language"},
    "reading": {"language", "graphs", "expressions"},
    "programs": {"language", "graphs", "linear_algebra", "expressions", "reading"},
    "convexity": {"language", "graphs", "linear_algebra", "expressions", "reading", "programs"},
    "sensitivity": {"graphs", "linear_algebra", "expressions", "reading", "programs"},
    "upper": {"language", "graphs", "expressions", "reading", "programs"},
    "contracts": {"language", "reading", "programs", "upper"},
    "registry": {"contracts"},
    "response": {
        "language",
        "graphs",
        "expressions",
        "reading",
        "programs",
        "convexity",
        "sensitivity",
        "contracts",
        "registry",
    },
    "kkt": {"language", "expressions", "reading", "programs", "contracts", "registry"},
    "results": {"upper", "contracts", "registry"},
    "verify": {
        "language",
        "graphs",
        "expressions",
        "reading",
        "programs",
        "convexity",
        "sensitivity",
        "contracts",
        "response",
        "results",
        "upper",
        "registry",
    },
    "files": {"language", "reading", "programs", "kkt"},
    "api": {
        *(
            "language",
            "reading",
            "programs",
            "convexity",
            "contracts",
            "registry",
            "response",
            "kkt",
            "results",
            "upper",
            "verify",
        ),
        "files",
    },
    "command_line": {"language", "reading", "contracts", "registry", "results", "files", "api"},
    "pyomo_entries": {"kkt", "api"},
    "solve": {"api", "command_line"},
    "study": {"command_line"},
    "learning": {"language", "response", "results", "api"},
    "optuna": {"language", "reading", "programs", "upper", "contracts", "registry"},
    "install_cyipopt": set(),
    "solvers.surrogates": {"contracts", "registry"},
    "solvers.pruners": {"language", "upper", "contracts", "registry"},
    "solvers.searches": {"upper", "contracts", "registry", "solvers.surrogates", "solvers.libraries"},
    "solvers.complementarity": {"graphs", "expressions", "reading", "programs", "convexity", "contracts", "registry"},
    "solvers.engines": {
        "graphs",
        "linear_algebra",
        "programs",
        "contracts",
        "registry",
        "response",
        *("solvers.libraries", "solvers.cells"),
    },
    "solvers.pools": {"reading", "programs", "contracts", "registry", "response", "files"},
    "solvers.storages": {"programs", "upper", "contracts", "registry"},
    "solvers.boxes": {"graphs", "linear_algebra", "expressions", "programs", "contracts", "response"},
    "solvers.homotopy": {"graphs", "linear_algebra", "expressions", "programs"},
    "solvers.single_level": {
        *("language", "graphs", "expressions", "reading", "programs", "convexity", "kkt", "contracts", "registry"),
        "response",
    },
    "solvers.rounds": {
        *("expressions", "reading", "programs", "upper", "contracts", "registry", "response", "verify"),
        *("solvers.single_level", "solvers.libraries"),
    },
    "solvers.interdiction": {"programs", "solvers.rounds"},
    "solvers.cells": {"graphs", "programs", "contracts", "registry", "solvers.boxes"},
    "solvers.sides": {"programs", "solvers.rounds", "solvers.single_level", "solvers.libraries"},
    "solvers.branching": {"programs", "solvers.rounds", "solvers.libraries"},
    "solvers.loop": {
        *("language", "reading", "programs", "convexity", "sensitivity", "upper", "contracts", "registry", "response"),
        "solvers.pools",
    },
    "solvers.paths": {
        *("graphs", "linear_algebra", "reading", "programs", "convexity", "sensitivity", "upper", "kkt", "contracts"),
        *("registry", "response", "solvers.loop", "solvers.single_level", "solvers.rounds", "solvers.boxes"),
        *("solvers.homotopy", "solvers.population", "solvers.libraries", "solvers.interdiction"),
        *("solvers.branching", "solvers.sides", "solvers.cells"),
    },
    "solvers.population": {"language", "upper", "contracts", "solvers.loop", "solvers.pools"},
}
MOST_FILES = 12  # of a room in bilevel/, beside its subrooms
LOOSE = {"__init__", "solve", "study", "optuna", "install_cyipopt", "pyomo_entries", "registry", *GROUND}
OWN = [*LANGUAGE, *METHODS]
MODULES = {module_name: file for file in OWN for module_name in [".".join([*package_of(file), file.stem])]}


def room_of(module: str) -> str:
    """``solvers.engines`` for bilevel.solvers.engines.daqp; the file's own name for what lies loose."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if parts[0] == "solvers" else parts[0]


def needs(file: Path) -> set[str]:
    """The files of ours that a file imports, at whatever time."""
    return {name for found in imports_of(file) for name in found.reaches() if name in MODULES}


def test_the_layers_in_the_architecture_are_those_of_the_table():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([^|]*) \|", text, re.MULTILINE)
    layers = {name: int(number) for number, names in rows for name in re.findall(r"`(\w+)`", names)}
    rooms = {room for room in MAY_IMPORT if not room.startswith("solvers.")} - {"install_cyipopt"}
    assert layers.keys() == rooms | GROUND | {"__init__"}
    for room in rooms:
        assert all(layers[below] < layers[room] for below in MAY_IMPORT[room]), room


@pytest.mark.parametrize("module", MODULES)
def test_a_file_imports_only_what_its_room_may(module):
    room = room_of(module)
    if room == "__init__":
        return  # the front door
    may = MAY_IMPORT.get(room, set()) | GROUND | {room}
    foreign = {name for name in needs(MODULES[module]) if room_of(name) not in may}
    assert room in MAY_IMPORT or not needs(MODULES[module]), f"{room} has no row in MAY_IMPORT"
    assert not foreign, f"{module} imports {sorted(foreign)}; see docs/architecture.md"


def test_the_rooms_have_an_order():
    TopologicalSorter({room: below | GROUND for room, below in MAY_IMPORT.items()}).prepare()


def test_no_file_is_in_a_circle():
    TopologicalSorter({module: needs(file) for module, file in MODULES.items()}).prepare()


def test_every_room_is_a_folder_and_every_folder_has_a_row():
    folders = {room_of(module) for module, file in MODULES.items() if file.parent.name not in ("bilevel", "solvers")}
    assert folders == set(MAY_IMPORT) - {"registry", "pyomo_entries", "solve", "study", "optuna", "install_cyipopt"}


def test_nothing_lies_loose():
    assert {file.stem for file in LANGUAGE if file.parent.name == "bilevel"} <= LOOSE
    assert [file.stem for file in METHODS if file.parent.name == "solvers"] == ["__init__"]


@pytest.mark.parametrize("folder", sorted({file.parent for file in OWN} - {ROOT / "bilevel"}), ids=shown)
def test_a_room_says_in_one_line_what_it_is_for(folder):
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree)
    assert docstring is not None
    names_only = folder.name in (*bilevel._ROOMS, "learning") and all(
        isinstance(n, ast.ImportFrom) for n in tree.body[1:]
    )
    assert len(tree.body) == 1 or folder.name == "solvers" or names_only, (
        "a room's __init__ holds its docstring and no statement, unless its names are public as bilevel.<room>.<name>"
    )
    assert "\n" not in docstring or folder.name == "solvers"
    files = [file for file in folder.glob("*.py") if file.stem != "__init__"]
    assert folder.is_relative_to(ROOT / "solvers") or len(files) <= MOST_FILES, (
        f"{shown(folder)} holds {len(files)} files"
    )


def test_parts_do_not_lean_on_each_other():
    """A part may be spread over a folder of its own; what it may not do is name another part."""
    parts = {entry.module for contract in registry.ROOMS for entry in registry.catalogue(contract).values()}
    for module in parts & set(MODULES):  # other tests register parts of their own
        assert not needs(MODULES[module]) & (parts - {module}), f"{module} names another part: ask the registry"


def test_only_the_registry_knows_solvers():
    for file in LANGUAGE:
        for found in imports_of(file):
            assert found.top not in ("solvers", "models", "examples", "tests", "benchmarks"), found
            if file.stem != "registry":
                assert not found.module.startswith("bilevel.solvers"), f"{found.module}: ask the registry by name"
                assert "solvers" not in found.names, found


def test_of_the_pools_the_loop_knows_the_interrupts_alone():
    for file in (ROOT / "solvers" / "loop").glob("*.py"):
        assert {n for n in needs(file) if room_of(n) == "solvers.pools"} <= {"bilevel.solvers.pools.interrupts"}


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


@pytest.mark.parametrize("package", HOMES)
def test_a_library_has_one_home(package):
    found = {shown(f) for f in OWN if any(i.top == package for i in imports_of(f))}
    assert found
    assert all(file.startswith(HOMES[package]) for file in found), f"{package} is imported in {found}"


def test_cyipopt_is_named_only_in_its_engine():
    naming = {shown(f) for f in EVERY if "cyipopt." in f.read_text(encoding="utf-8").replace("install_cyipopt.", "")}
    assert naming <= {"solvers/engines/ipopt.py", "bilevel/install_cyipopt.py"}


@pytest.mark.parametrize("package", LAZY)
def test_heavy_packages_wait_for_their_call(package):
    asked_for = ROOT / "bilevel" / f"{package}.py"  # bilevel.optuna is imported by who wants Optuna
    files = [file for file in [*LANGUAGE, *METHODS] if file != asked_for]
    found = [(shown(f), i) for f in files for i in imports_of(f) if i.top == package]
    assert not [file for file, i in found if not (i.lazy or i.typing_only)]


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
    code = "import sys, bilevel; print(sorted({'pyomo', 'casadi', 'numpy', 'optuna'} & set(sys.modules)))"
    run = commands.run([sys.executable, "-c", code], check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("contract", list(registry.ROOMS), ids=lambda c: c.__name__)
def test_every_part_says_what_it_is_in_one_line(contract):
    for name, entry in registry.catalogue(contract).items():
        assert entry.summary.endswith("."), f"{contract.__name__} {name}: {entry.summary!r}"
        assert len(entry.summary) <= 120, f"{contract.__name__} {name}: longer than a line of the help"


@pytest.mark.parametrize("contract", list(registry.ROOMS), ids=lambda c: c.__name__)
def test_every_part_says_when_to_take_it_and_names_its_neighbour(contract):
    entries = registry._shipped(contract)
    for name, entry in entries.items():
        assert entry.when, f"{entry.module}: end the docstring of {name} with one sentence, Take it when ..."
        assert entry.when.endswith(".")
        assert ". " not in entry.when, f"{name}: one sentence"
        named = {word.partition(":")[0] for word in re.findall("``(.+?)``", entry.when)}
        others = entries.keys() - {name}
        assert named & others or not others, f"{name}: name its nearest neighbour in ``..``"


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
            part = registry.get(contract, name)
            assert part.name == name
            assert registry._shipped(contract)[name].preference == getattr(part, "preference", 0.0)


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
