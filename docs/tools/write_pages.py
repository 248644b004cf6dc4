"""Write what the pages say of parts and models from where it is said first: ``python docs/tools/write_pages.py``.

The tables of methods, treatments, engines and surrogates in README.md and docs/methods.md come from the catalogue, that
is from the first line and the last sentence of each part's docstring; docs/gallery.md from the docstrings and known
values of the models; the rooms in docs/architecture.md from theirs; docs/api/parts.md lists the parts for mkdocstrings.
``make docs`` runs this, and a test says when it was forgotten.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bilevel import registry
from bilevel.contracts.engine import Engine
from bilevel.contracts.pruner import Pruner
from bilevel.contracts.surrogate import Surrogate
from bilevel.contracts.treatment import Treatment
from bilevel.registry import Entry

TABLES = {
    "methods": registry.methods,
    "treatments": lambda: registry.catalogue(Treatment),
    "engines": lambda: registry.catalogue(Engine),
    "surrogates": lambda: registry.catalogue(Surrogate),
    "pruners": lambda: registry.catalogue(Pruner),
}
SHELF = ROOT / "models" / "literature"


def main() -> None:
    """Write every page that is not as it should be."""
    for file, text in pages().items():
        if file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"written: {file.relative_to(ROOT)}")


def pages() -> dict[Path, str]:
    """Each page that holds something written here, as it should be."""
    docs = ROOT / "docs"
    holding = (ROOT / "README.md", docs / "methods.md", docs / "architecture.md", docs / "shelf.md")
    tables = {file: with_tables(file.read_text(encoding="utf-8")) for file in holding}
    return {**tables, docs / "gallery.md": gallery(), docs / "api" / "parts.md": parts()}


def with_tables(page: str) -> str:
    """A page with each table between its two comments written anew; one ``in a line each`` says what, and not when."""
    for name, entries in TABLES.items():
        page = between(page, name, table(entries(), short=False))
        page = between(page, f"{name}, in a line each", table(entries(), short=True))
    return between(between(page, "rooms", rooms()), "shelf", methods_of_the_texts())


def between(page: str, name: str, written: str) -> str:
    """A page with what stands between the comments ``name`` and ``end``, if they are there, written anew."""
    begin, end = f"<!-- {name} -->\n", "\n<!-- end -->"
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}{written}{end}", page, flags=re.DOTALL)


def methods_of_the_texts() -> str:
    """The rows of ``shelf_rows.py``, each with its command; when to take it is the part's own word where it is one."""
    known = {**registry.methods(), **registry.catalogue(Pruner)}
    lines = []
    for row in rows_of_the_shelf():
        words = row.command.split()
        part = words[words.index("--pruner") + 1] if "--pruner" in words else words[1]
        when = row.when or cell(known[part].when)
        lines += ["", f"### {row.name}", "", f"`python -m bilevel.solve model.py {row.command}`", ""]
        lines += [
            f"- **Needs** {row.needs}.",
            f"- **Take it** {when.removesuffix('.')}.",
            f"- **Not when** {row.not_when}.",
        ]
    return "\n".join(lines[1:])


def rows_of_the_shelf() -> Iterable[Any]:
    """See ``shelf_rows.py``, which is no part of the package."""
    here = str(Path(__file__).parent)
    if here not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module("shelf_rows").ROWS  # type: ignore[no-any-return]


def rooms() -> str:
    """Every room and what it is for, as its ``__init__.py`` says."""
    files = [file for top in ("bilevel", "solvers") for file in sorted((ROOT / top).rglob("*/__init__.py"))]
    rows = [f"| `{file.parent.relative_to(ROOT)}/` | {cell(title_of(docstring(file)))} |" for file in files]
    return "\n".join(["| room | what it is for |", "|---|---|", *rows])


def table(entries: Mapping[str, Entry], short: bool) -> str:
    """Name, what it is, and when to take it."""
    heads = ["name", "what it is", "when to take it"][: 2 if short else 3]
    rows = [[f"`{name}`", cell(entry.summary), cell(entry.when)][: len(heads)] for name, entry in entries.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def cell(text: str) -> str:
    """Text of a docstring as a cell of a Markdown table."""
    return text.removeprefix("Take it ").replace("``", "`").replace("|", r"\|")


def parts() -> str:
    """The page of the parts: mkdocstrings draws each from its docstring."""
    page = [
        "# Parts",
        "",
        "What ships, by kind and name, with the options that each takes; drawn from their docstrings.",
    ]
    for contract, room in registry.ROOMS.items():
        page += ["", f"## {room.capitalize()}"]
        for name, entry in registry.catalogue(contract).items():
            if entry.module.startswith("bilevel.solvers."):
                path = f"{entry.module.removeprefix('bilevel.')}.{registry.get(contract, name).__name__}"
                options = f"{{ members: false, heading_level: 3, heading: {name}, toc_label: {name} }}"
                page += ["", f"::: {path}", f"    options: {options}"]
    return "\n".join(page) + "\n"


def gallery() -> str:
    """The page of the models: each docstring, and above them a table of best known values."""
    models = {file.stem: file for file in sorted((ROOT / "models").glob("*.py"))}
    rows = [
        f"| [`{name}`](#{name}) | {cell(title_of(docstring(file)))} | {best_known(file)} |"
        for name, file in models.items()
    ]
    page = [
        "# Gallery",
        "",
        "Model files that come with the package, one problem each, in plain Pyomo. They are solved by name,",
        "",
        "```sh",
        "python -m bilevel.solve ridge",
        "```",
        "",
        'and loaded by `bilevel.load_model("ridge")`. Values are proved, or found, as stated with each.',
        "",
        "| name | problem | best known F |",
        "|---|---|---:|",
        *rows,
    ]
    for name, file in models.items():
        page += ["", f"## {name}", *described(docstring(file))]
    return "\n".join([*page, "", *shelf()]) + "\n"


def shelf() -> Iterable[str]:
    """The problems of models/literature: a table for each file."""
    yield "## The shelf of literature problems"
    yield ""
    yield "`models/literature` holds 100 problems with checked answers, by which exact methods are judged"
    yield "([scoreboard](benchmarks.md#scoreboard)). One is solved by its name:"
    yield ""
    yield "```sh"
    yield "python -m bilevel.solve models/literature/linear.py --set name=bard_1984_1"
    yield "```"
    for group, cases in itertools.groupby(problems(), key=lambda case: case.group):
        yield from ["", f"### {group}", "", title_of(docstring(SHELF / f"{group}.py")).partition(" ``")[0], ""]
        yield from ["| problem | what it is | best known F |", "|---|---|---:|"]
        for case in cases:
            value = case.status if case.value is None else f"{case.value:.10g}"
            value += " (not attained)" if case.status == "unattained" else ""
            yield f"| `{case.name}` | {cell(title_of(inspect.getdoc(case.create) or ''))} | {value} |"


def problems() -> Iterable[Any]:
    """The cases of the shelf, file by file."""
    if str(SHELF) not in sys.path:
        sys.path.insert(0, str(SHELF))
    return list(importlib.import_module("shelf").every_problem().values())


def docstring(file: Path) -> str:
    """The docstring of a file that is not run."""
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def best_known(file: Path) -> str:
    """``KNOWN["upper_objective"]`` of a model file that is not run; of several objectives ``KNOWN["front"]``."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "upper_objective":
                    return f"{float(ast.literal_eval(value)):.10g}"
                if isinstance(key, ast.Constant) and key.value == "front":
                    return "; ".join(f"{name} {best:.6g}" for name, best in ast.literal_eval(value).items())
    raise ValueError(f"{file}: a model of the gallery says KNOWN = {{'upper_objective': ...}}")


def title_of(text: str) -> str:
    """The first sentence of a docstring, of several lines maybe."""
    return " ".join(text.partition("\n\n")[0].split())


def described(text: str) -> Iterable[str]:
    """A model's docstring as Markdown: formulas as they are, paragraphs, and ``Source:`` and the like in bold."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith(" "):
            yield from ["", "```text", *textwrap.dedent(paragraph).split("\n"), "```"]
            continue
        for piece in re.split(r"\n(?=(?:Source|Best known|Convention|Split): )", paragraph):
            flat = " ".join(piece.replace("``", "`").split())
            yield from ["", re.sub(r"^(Source|Best known|Convention|Split):", r"**\1:**", flat)]


if __name__ == "__main__":
    main()
