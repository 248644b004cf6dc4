"""Points recorded many at a time: the history of one after the other, made into evaluations when it is read."""

import copy
import pickle

import numpy as np
import pytest
from histories import told

import bilevel
from bilevel import registry
from bilevel.contracts.observer import Observer
from bilevel.contracts.search import Search
from bilevel.programs.answer import Status
from bilevel.results.progress import ProgressLine
from bilevel.upper.archive import Archive, Evaluation, History
from bilevel.upper.batch import Batch


@pytest.fixture
def made(monkeypatch):
    """Places in batches of evaluations that were made."""
    places = []
    evaluation = Batch.evaluation
    monkeypatch.setattr(Batch, "evaluation", lambda self, k: places.append(k) or evaluation(self, k))
    return places


@pytest.mark.parametrize("method", ["random", "grid"])
@pytest.mark.parametrize("model", ["ridge", "toy", "bard"])
def test_the_history_is_that_of_one_after_the_other(model, method, monkeypatch):
    together = bilevel.solve(bilevel.load_model(model), method, budget=70, seed=2)
    monkeypatch.setattr(registry.get(Search, method), "learns", True)
    apart = bilevel.solve(bilevel.load_model(model), method, budget=70, seed=2)
    if model == "ridge":  # a formula for many points is rounded otherwise than one for one point
        assert [e.point for e in together.history] == [e.point for e in apart.history]
        costs = [[e.cost for e in result.history] for result in (together, apart)]
        np.testing.assert_allclose(*costs, rtol=1e-12)
    else:
        assert told(together) == told(apart)
    assert together.upper == apart.upper
    assert together.verdict is apart.verdict


def test_what_nobody_reads_is_not_made(made):
    result = bilevel.solve(bilevel.load_model("ridge"), "random", budget=600, seed=1)
    assert len(result.history) == result.evaluations == 600
    assert len(made) <= 4  # incumbents
    assert result.history[599].index == 599
    assert result.history[-1] is result.history[599]


class _Each(Observer):
    """Notes what was known when each point was told."""

    def __init__(self):
        self.seen = []

    def evaluated(self, archive):
        last = archive.evaluations[-1]
        self.seen.append((len(archive), last.index, archive.incumbent.cost))


def test_an_observer_hears_of_every_point_unless_it_takes_batches(made):
    each = _Each()
    result = bilevel.solve(bilevel.load_model("ridge"), "random", budget=40, seed=1, observer=each)
    best = np.minimum.accumulate([e.cost for e in result.history])
    assert each.seen == [(k + 1, k, cost) for k, cost in enumerate(best)]
    assert not each.takes_batches
    assert Observer().takes_batches
    assert ProgressLine().takes_batches


def test_a_history_is_read_like_a_list():
    history = bilevel.solve(bilevel.load_model("toy"), "random", budget=30, seed=1).history
    listed = list(history)
    assert history == listed
    assert history[3:6] == listed[3:6]
    assert history[-2] is listed[28]
    assert listed[7] in history
    assert history.index(listed[7]) == 7
    assert repr(pickle.loads(pickle.dumps(history))) == repr(copy.deepcopy(history)) == repr(listed)
    with pytest.raises(IndexError):
        history[30]
    assert History() == []
    assert repr(history[:0]) == repr(History())


def _batch(first, costs, violations):
    others = {1: Evaluation(first + 1, (1.0,), {"x": 1.0}, message="no answer")}
    count = len(costs)
    return Batch(
        first, [(float(first + k),) for k in range(count)], (), (), 1, np.array(costs), np.array(violations),
        np.zeros((count, 1)), np.zeros((count, 0)), 0.0, others,
    )  # fmt: skip


def test_the_incumbent_is_the_first_of_the_least_feasible_ones(monkeypatch):
    monkeypatch.setattr(Batch, "evaluation", lambda self, k: self.others.get(k) or _plain(self, k))
    archive = Archive()
    archive.take(_batch(0, [3.0, -9.0, 2.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0]))
    assert archive.incumbent.index == 2
    archive.take(_batch(5, [2.0, 0.0, np.nan], [0.0, 0.0, 0.0]))
    assert archive.incumbent.index == 2
    archive.add(Evaluation(8, (8.0,), {}, status=Status.OPTIMAL, cost=1.5, upper_violation=0.0))
    assert archive.incumbent.index == 8
    assert [e.index for e in archive.evaluations.singles(2)] == [6, 8]
    np.testing.assert_array_equal(archive.evaluations.costs()[[0, 2, 5, 8]], [3.0, 2.0, 2.0, 1.5])
    assert np.isnan(archive.evaluations.costs()[[1, 6]]).all()
    assert (5.0,) in archive
    assert [e.index for e in archive] == list(range(9))


def _plain(batch, k):

    return Evaluation(
        batch.first + k,
        batch.points[k],
        {},
        status=Status.OPTIMAL,
        cost=batch.costs[k],
        upper_violation=batch.violations[k],
    )
