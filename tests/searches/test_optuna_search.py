"""Optuna's samplers behind the contract; what every search must keep is tested with the surrogate searches."""

from __future__ import annotations

import logging
import sys
import types

import numpy as np
import optuna
import pytest
from test_surrogate_search import bowl, box, budgeted, make, mixed, walk

from bilevel.errors import OptionError


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "nsga2", "qmc", "random", "BruteForceSampler"])
@pytest.mark.parametrize("make_space", [mixed, budgeted])
def test_samplers_propose_new_allowed_points(sampler, make_space):
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    if sampler == "BruteForceSampler":
        make_space = _whole
    space = make_space()
    points = walk(make("optuna", space, sampler=sampler), space, 30)
    assert len(set(points)) == 30
    assert all(space.allows(point) for point in points)


def _whole():
    from test_surrogate_search import grid

    return grid(levels=6)


def test_the_process_sampler_too():
    pytest.importorskip("torch")
    space = box(2)
    assert len(set(walk(make("optuna", space, sampler="gp"), space, 14))) == 14


def test_the_sampler_learns():
    space = box(3)
    points = walk(make("optuna", space, 60), space, 60)
    costs = [bowl(space, point) for point in points]
    assert np.median(costs[40:]) < 0.5 * np.median(costs[:10])


@pytest.mark.parametrize("sampler", ["nonsense", "BaseSampler", "optuna"])
def test_an_unknown_sampler_is_refused_with_the_names_there_are(sampler):
    with pytest.raises(OptionError, match="TPESampler"):
        make("optuna", box(), sampler=sampler)


def test_a_sampler_that_wants_more_than_a_name_is_refused():
    with pytest.raises(OptionError, match="search_space"):
        make("optuna", box(), sampler="GridSampler")


def test_it_is_quiet_and_leaves_the_log_level_alone(capfd, caplog):
    level = optuna.logging.get_verbosity()
    with caplog.at_level(logging.DEBUG):
        space = mixed()
        walk(make("optuna", space), space, 15)
    out, err = capfd.readouterr()
    assert out == err == ""
    assert optuna.logging.get_verbosity() == level


def test_a_sampler_whose_package_is_missing_is_refused_at_once(monkeypatch):
    """Optuna imports it when the random points at the start are over: after so many evaluations."""
    module = types.ModuleType("no_such_package")
    monkeypatch.setattr(sys.modules[optuna.samplers.TPESampler.__module__], "needed", module, raising=False)
    with pytest.raises(OptionError, match="pip install no_such_package"):
        make("optuna", box(), sampler="tpe")


def test_a_sampler_that_does_not_take_the_space_is_refused():
    space = box()
    with pytest.raises(OptionError, match="does not take this space"):
        walk(make("optuna", space, sampler="BruteForceSampler"), space, 2)


def test_a_sampler_that_has_tried_all_leaves_the_end_to_the_space():
    space = _whole()
    assert len(set(walk(make("optuna", space, sampler="BruteForceSampler"), space, 36))) == 36
