"""The examples are programs with assertions: each must run as a user runs it, and so must the notebooks."""

import ast
import json
import os
import sys
from pathlib import Path

import commands
import pytest

import bilevel

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
LARGEST = 400_000  # bytes: a reader loads the pictures with the text


def named(path):
    return path.stem


def cells_of(notebook):
    return [c for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]


def run(arguments, folder):
    own = {"PYTHONPATH": str(ROOT), "JUPYTER_DATA_DIR": str(folder), "IPYTHONDIR": str(folder)}
    environment = {**os.environ, **own}
    return commands.run([sys.executable, *arguments], cwd=folder, env=environment, patience=1200)


@pytest.mark.parametrize("program", sorted((ROOT / "examples").glob("*.py")), ids=named)
def test_runs(program, tmp_path):
    done = run([str(program)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient

NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout=300, kernel_name="python3").execute()
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=named)
def test_a_notebook_runs_afresh(notebook, tmp_path):
    """From its first cell to its last, assertions included, in a process and a folder of its own."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    done = run(["-c", EXECUTE, str(notebook)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=named)
def test_a_notebook_is_kept_as_it_ran(notebook):
    cells = cells_of(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "not run from top to bottom"
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"], "a warning in what a reader sees"
    assert any("image/png" in output.get("data", {}) for output in outputs), "a tour without a picture"
    assert notebook.stat().st_size < LARGEST


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=named)
def test_a_notebook_uses_only_public_names(notebook):
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in cells_of(notebook)))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "bilevel":
            assert node.module in ("bilevel", "bilevel.learning")
            assert {alias.name for alias in node.names} <= set(bilevel.__all__)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "bilevel":
            assert node.attr in bilevel.__all__
