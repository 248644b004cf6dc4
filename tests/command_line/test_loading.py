"""Model files: every way to be wrong is one sentence that names the file and the cure; neighbours and namesakes."""

from __future__ import annotations

import inspect
import pickle
import sys
from pathlib import Path
from textwrap import dedent

import pyomo.environ as pyo
import pytest

from bilevel import registry
from bilevel.contracts.search import Search
from bilevel.errors import LoadingError
from bilevel.files.arguments import convert
from bilevel.files.model_files import gallery, load_model

GOOD = "import pyomo.environ as pyo\nmodel = pyo.ConcreteModel()\n"


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("helper", "models", "solvers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in ("helper", "models", "solvers")]:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    def into(text: str | bytes, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
        return path

    return into


BROKEN = {
    "no syntax": ("x = 1\ny = (2,\n", ["line 2", "not valid Python", "never closed"]),
    "no text": (b"\xff\xfe\x00\x01", ["mine.py", "not valid Python"]),
    "an exception": ("\n\nraise KeyError('speed')\n", ["line 3", "KeyError", "speed", "mend"]),
    "a missing package": ("import no_such_package\n", ["line 1", "no_such_package", "install"]),
    "an exit": ("import sys\nsys.exit(4)\n", ["line 2", "__main__"]),
    "nothing": ("x = 1\n", ["holds no model", "`model`", "create_model"]),
    "a number": ("model = 3\n", ["`model` is of type int", "ConcreteModel"]),
    "an abstract model": ("import pyomo.environ as pyo\nmodel = pyo.AbstractModel()\n", ["create_instance"]),
    "no return": ("def create_model():\n    pass\n", ["create_model returns is None", "return model"]),
    "no function": ("create_model = 3\n", ["create_model is a int", "function"]),
    "an error in create_model": ("def create_model():\n    return 1 / 0\n", ["line 2", "ZeroDivisionError"]),
    "a required setting": ("def create_model(n):\n    return n\n", ["needs a value for n", "--set n="]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_one_sentence(write, kind):
    text, expected = BROKEN[kind]
    path = write(text)
    with pytest.raises(LoadingError) as raised:
        load_model(path)
    message = str(raised.value)
    assert str(path) in message
    assert "\n" not in message
    for part in expected:
        assert part in message


def test_a_failing_rule_names_the_component_and_logs_nothing(write, capfd):
    path = write(GOOD + "model.c = pyo.Constraint([1, 2], rule=lambda m, i: m.nothing >= i)\n")
    with pytest.raises(LoadingError, match=r"line 3: AttributeError in Constraint c with index 1: .*nothing"):
        load_model(path)
    assert capfd.readouterr() == ("", "")


def test_what_pyomo_logs_on_the_way_is_kept(write, caplog):
    load_model(write(GOOD + "import logging\nlogging.getLogger('pyomo.core').warning('mind the gap')\n"))
    assert "mind the gap" in caplog.text


def test_missing_files_suggest_what_is_near(write, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    write(GOOD)
    for source, expected in {
        "mine": "do you mean mine.py",
        "toyy": "did you mean toy",
        "models/toy.py": "did you mean toy",
        "zzzzzz.py": "the gallery has",
        ".": "is a folder",
        "book.ipynb": "notebook",
    }.items():
        with pytest.raises(LoadingError, match=expected):
            load_model(source)


def test_a_name_of_the_gallery_is_enough():
    assert "toy" in gallery()
    assert isinstance(load_model("toy"), pyo.ConcreteModel)
    assert load_model("toy") is not load_model("toy")


def test_a_file_that_exists_wins_over_the_gallery(write, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    write(GOOD + "model.mine = pyo.Var()\n", "toy")
    assert load_model("toy").component("mine") is not None
    (tmp_path / "toy").unlink()
    (tmp_path / "toy").mkdir()
    assert load_model("toy").component("mine") is None


def test_a_file_of_any_ending_and_of_an_installed_name(write):
    assert isinstance(load_model(write(GOOD, "problem.txt")), pyo.ConcreteModel)
    assert isinstance(load_model(write(GOOD, "pyomo.py")), pyo.ConcreteModel), "Pyomo itself is what pyomo.py imports"
    assert not list(write(GOOD).parent.glob("__pycache__"))


SETTINGS = """
    from __future__ import annotations
    import pyomo.environ as pyo
    def create_model(n: int = 3, rate=0.5, flag=False, name="a", top: float | None = None, points=(1, 2)):
        model = pyo.ConcreteModel()
        model.given = pyo.Param(initialize=(n, rate, flag, name, top, points), within=pyo.Any)
        return model
"""


def test_settings_from_text_take_the_type_of_the_parameter(write):
    path = write(SETTINGS)
    text = {"n": "7", "rate": "2", "flag": "yes", "name": "3", "top": "1e3", "points": "(4, 5)"}
    assert load_model(path, text).given.value == (7, 2.0, True, "3", 1000.0, (4, 5))
    assert load_model(path, {"top": "none", "flag": "off"}).given.value[2:5] == (False, "a", None)
    assert load_model(path, {"n": 2.5}).given.value[0] == 2.5, "what is not text stays as it is"


@pytest.mark.parametrize(("name", "value"), [("n", "2.5"), ("rate", "fast"), ("flag", "maybe"), ("top", "high")])
def test_a_setting_of_another_type_is_refused(write, name, value):
    with pytest.raises(LoadingError, match=f"{name}={value}: not of type"):
        load_model(write(SETTINGS), {name: value})


def test_an_unknown_setting_lists_those_there_are(write):
    with pytest.raises(LoadingError, match=r"no setting 'm'; it has n=3, rate=0\.5, flag=False"):
        load_model(write(SETTINGS), {"m": "1"})
    with pytest.raises(LoadingError, match=r"finished `model`.*create_model"):
        load_model(write(GOOD), {"m": "1"})


def test_settings_go_to_create_model_where_the_file_holds_both(write):
    path = write(SETTINGS.replace("    def", "    model = pyo.ConcreteModel()\n    def"))
    assert load_model(path).component("given") is None
    assert load_model(path, {"n": "1"}).given.value[0] == 1


def test_keyword_arguments_without_names_take_anything(write):
    path = write("import pyomo.environ as pyo\ndef create_model(**s):\n    return pyo.ConcreteModel(doc=str(s))\n")
    assert load_model(path, {"a": "1.5", "b": "word"}).doc == "{'a': 1.5, 'b': 'word'}"


def test_text_where_nothing_is_known_of_the_parameter():
    assert convert("[1, 2]", None) == [1, 2]
    assert convert("1x", inspect.Parameter("p", inspect.Parameter.KEYWORD_ONLY)) == "1x"


def test_a_file_can_import_its_neighbours_now_and_later(write):
    write("VALUE = 5\n", "helper.py")
    path = write(GOOD + "import helper\nassert helper.VALUE == 5\n")
    load_model(path)
    assert sys.path[0] != str(path.parent)
    del sys.modules["helper"]
    lazy = write(GOOD + "def later():\n    import helper\n    return helper.VALUE\nmodel.later = later\n", "lazy.py")
    assert load_model(lazy).later() == 5
    assert sys.path.count(str(path.parent)) == 1


def test_helpers_of_one_name_in_two_folders_stay_apart(write):
    for folder in ("one", "two"):
        write(f"NAME = {folder!r}\n", f"{folder}/helper.py")
        path = write(GOOD + "import helper\nmodel.name = helper.NAME\n", f"{folder}/mine.py")
        assert load_model(path).name == folder


def test_packages_called_models_and_solvers_are_the_users_own(write, monkeypatch, tmp_path):
    for package in ("models", "solvers"):
        write("WHOSE = 'mine'\n", f"{package}/__init__.py")
    write(GOOD, "models/toy.py")
    path = write(GOOD + "import models, solvers\nmodel.name = models.WHOSE + solvers.WHOSE\n")
    monkeypatch.chdir(tmp_path)
    assert load_model(path).name == "minemine"
    assert load_model("toy").component("lower") is not None, "the gallery's, not models/toy.py"


def test_a_part_registered_in_the_file_is_found_by_name(write, monkeypatch):
    for name in registry.catalogue(Search):
        registry.get(Search, name)  # a module is run once: what registers meanwhile would be lost afterwards
    monkeypatch.setitem(registry._registered, Search, dict(registry._registered[Search]))
    load_model(
        write(
            GOOD
            + dedent("""
            from bilevel import Search, register
            @register("my_own")
            class MyOwn(Search):
                "Proposes nothing."
                def ask(self, count=1):
                    return []
            """)
        )
    )
    assert registry.get(Search, "my_own").__name__ == "MyOwn"
    assert registry.catalogue(Search)["my_own"].summary == "Proposes nothing."


def test_what_the_file_defines_can_be_pickled(write):
    first, second = (load_model(write(GOOD + "def f():\n    return 1\nmodel.f = f\n")) for _ in range(2))
    assert pickle.loads(pickle.dumps((first.f, second.f)))[0]() == 1
