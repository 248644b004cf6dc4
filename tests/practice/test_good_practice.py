"""What a run says of itself: one line for each bad habit, which names the better call, and none where there is none."""

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, rows_of


def tuned(best=0.3, count=2, low=0.0, high=1.0):
    """A training whose loss is least where every variable is ``best``."""
    model = pyo.ConcreteModel()
    model.a = pyo.Var(range(count), bounds=(low, high))
    model.net = LowerLevel(response=lambda x: {"loss": sum((value - best) ** 2 for value in x.values())})
    model.net.loss = pyo.Var()
    model.obj = pyo.Objective(expr=model.net.loss)
    return model


def said(result, word):
    return [note for note in result.notes if word in note]


def test_a_grid_over_reals_names_what_looks_between():
    (note,) = said(bilevel.solve(tuned(), "grid", budget=9), "continuous")
    assert "a[0], a[1] are continuous, and 3 values of a[0] were tried" in note
    assert "method='surrogate'" in note
    model = tuned()
    for j in (0, 1):
        bilevel.discretize(model.a[j], [0.1, 0.3, 0.5])
    assert not said(bilevel.solve(model, "grid", budget=9), "continuous")


def test_a_start_that_shows_no_direction():
    (note,) = said(bilevel.solve(tuned(count=5), "rbf", budget=20, initial=3), "initial=3")
    assert "6 points" in note
    (note,) = said(bilevel.solve(tuned(count=5), "rbf", budget=6), "budget=6")
    assert "give it 18 or more" in note
    assert not said(bilevel.solve(tuned(count=2), "rbf", budget=20), "budget=")
    assert not said(bilevel.solve(tuned(count=5), "random", budget=3), "budget=")


@pytest.mark.parametrize(
    ("best", "end"), [(2.0, "upper end of its range, 1: more"), (-1.0, "lower end of its range, 0: less")]
)
def test_an_answer_at_the_end_of_its_range(best, end):
    model = tuned(best)
    for j in (0, 1):
        bilevel.discretize(model.a[j], [0.0, 0.25, 0.5, 1.0])
    notes = said(bilevel.solve(model, "grid", budget=16), "widen the range")
    assert [note.partition(" ")[0] for note in notes] == ["a[0]", "a[1]"]
    assert all(end in note for note in notes)


def test_no_word_where_the_answer_is_inside_or_the_range_is_no_choice():
    assert not said(bilevel.solve(tuned(), "random", budget=30), "widen")
    assert not said(bilevel.solve(bilevel.load_model("toy"), "grid", budget=11), "widen")  # x = 0 is a bound in earnest


def with_a_test(test_rows):
    """A ridge whose test loss reads the rows with these numbers, of which 0 to 19 train and 20 to 29 validate."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), np.where(rng.random(40) < 0.5, -1.0, 1.0)
    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(1e-3, 1.0), initialize=0.1)
    model.fit = LowerLevel()
    model.fit.w = pyo.Var(range(2), initialize=0.0)
    w = model.fit.w
    model.fit.obj = pyo.Objective(
        expr=rows_of("logistic", X[:20], w, y[:20]) / 20 + model.penalty * sum(w[j] ** 2 for j in w)
    )
    model.obj = pyo.Objective(expr=rows_of("logistic", X[20:30], w, y[20:30]) / 10)
    rows = list(test_rows)
    bilevel.report_once("test", rows_of("logistic", X[rows], w, y[rows]) / len(rows))
    return model


def test_test_rows_that_a_level_reads_are_no_test():
    notes = said(bilevel.solve(with_a_test(range(15, 40)), "random", budget=2), "no test")
    assert len(notes) == 2
    assert "10 of its 25 rows are read by F" in notes[0]
    assert "5 of its 25 rows are read by the training" in notes[1]


def test_a_test_is_looked_at_once():
    model = with_a_test(range(30, 40))
    first, second = (bilevel.solve(model, "random", budget=2, seed=seed) for seed in (0, 1))
    assert not said(first, "test")
    (note,) = said(second, "second time")
    assert "choose by F" in note
