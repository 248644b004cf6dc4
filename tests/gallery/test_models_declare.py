"""Every file of the gallery declares one bilevel problem, with its source and its best known value."""

import pickle
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from model_files import GALLERY, NAMES, load

from bilevel import LowerLevel
from bilevel.language.lower_level import response_of

FUNCTIONS = ("boosting", "early_stopping", "schedule", "transformer_space")
METHODS = {"joint", "kkt", "grid", "random", "gradient"}

every_model = pytest.mark.parametrize("name", NAMES)


@every_model
def test_declares_one_problem(name: str) -> None:
    model = load(name).create_model()
    assert isinstance(model, pyo.ConcreteModel)
    above = list(model.component_data_objects(pyo.Objective, active=True))
    several = load(name).KNOWN.get("front", {})
    assert [objective.name for objective in above] == list(several or ["obj"])
    followers = list(model.component_data_objects(LowerLevel, active=True))
    assert followers == list(model.lower.values())
    for follower in followers:
        assert list(follower.component_data_objects(pyo.Var))
        objectives = list(follower.component_data_objects(pyo.Objective, active=True))
        assert len(objectives) == (0 if response_of(follower) else 1)


def names_in(model: Any) -> list[str]:
    """Every variable, constraint and objective of both levels."""
    kinds, levels = (pyo.Var, pyo.Constraint, pyo.Objective), (pyo.Block, LowerLevel)
    return [data.name for kind in kinds for data in model.component_data_objects(kind, descend_into=levels)]


@every_model
def test_clone_keeps_everything(name: str) -> None:
    model = load(name).create_model()
    copy = model.clone()
    assert names_in(copy) == names_in(model)
    assert copy.lower is not model.lower


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("kernel_ridge", "divisible", *FUNCTIONS)])
def test_pickle_keeps_everything(name: str) -> None:
    """Those left out hold a function of their own file, which pickle finds only if that file can be imported."""
    model = load(name).create_model()
    copy = pickle.loads(pickle.dumps(model))
    assert names_in(copy) == names_in(model)


@every_model
def test_docstring_names_source_and_best_known(name: str) -> None:
    doc = load(name).__doc__
    assert doc is not None
    title, blank, *rest = doc.splitlines()
    assert title.endswith(".")
    assert blank == ""
    assert sum(line.startswith("Source: ") for line in rest) == 1
    assert sum(line.startswith("Best known: ") for line in rest) == 1


@every_model
def test_known_is_well_formed(name: str) -> None:
    module = load(name)
    known, model = module.KNOWN, module.create_model()
    assert set(known) <= {"upper_objective", "front", "upper", "tolerance", "methods"}
    assert ("front" in known) != ("upper_objective" in known)
    assert np.isfinite([*known.get("front", {"F": known.get("upper_objective")}).values()]).all()
    assert known["tolerance"] > 0
    assert known["methods"]
    assert set(known["methods"]) <= METHODS
    upper = {v.name for v in model.component_data_objects(pyo.Var, descend_into=pyo.Block)}
    assert set(known.get("upper", {})) <= upper
    for component, value in known.get("upper", {}).items():
        var = model.find_component(component)
        lower, upper_bound = var.bounds
        assert isinstance(value, str) or lower <= value <= upper_bound
        assert value in var.domain or any(abs(value - other) < 1e-12 for other in var.domain)


@every_model
def test_imports_only_what_a_reader_has(name: str) -> None:
    text = (GALLERY / f"{name}.py").read_text()
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported <= {"csv", "datetime", "functools", "itertools", "pathlib", "networkx", "numpy", "pyomo", "bilevel"}
    assert "from bilevel." not in text


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ridge", {"training": 100, "validation": 50}),
        ("ridge_folds", {"folds": 3}),
        ("penalty_per_feature", {"features": 3}),
        ("marketing_mix", {"train": 100, "validation": 20, "seasons": 1}),
        ("kernel_ridge", {"gammas": 2, "penalties": 4}),
        ("stackelberg", {"c2": 20.0}),
    ],
)
def test_settings_change_the_model(name: str, settings: dict[str, Any]) -> None:
    module = load(name)
    assert module.create_model(**settings) is not None
