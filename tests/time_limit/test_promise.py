"""A time limit is a promise: whatever the method and the model, all has ended within 1.1 times it and a second."""

import pytest
from clocked import clocked
from heavy_models import MODELS

from bilevel.api.asking import method_names

# The same few runs in the fast suite: a local engine, a global one, a linear one, building, a function of the user's.
FEW = [
    ("tolls", "kkt"),
    ("nonconvex", "random"),
    ("penalties", "value_function"),
    ("knapsack", "mixed_integer"),
    ("trained", "random"),
]


def check(name, method, limit):
    run = clocked(MODELS[name], method, limit, budget=1_000_000)
    assert run is not None, "it did not end"
    assert run.cpu <= 1.1 * limit + 1.0, (run.cpu, run.notes)
    return run


@pytest.mark.parametrize(("name", "method"), FEW)
def test_a_run_ends_in_time(name, method):
    check(name, method, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", *method_names()])
@pytest.mark.parametrize("name", MODELS)
def test_every_run_ends_in_time(name, method):
    check(name, method, 3.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quadratic", "penalties", "tolls", "logistic", "lasso", "linear"])
def test_conditions_that_come_to_no_point_are_followed_by_a_search(name):
    assert check(name, "kkt", 12.0).verdict in ("best_found", "verified_local", "certified_global")
