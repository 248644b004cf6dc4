"""The picture of a comparison."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import commands
import numpy as np
import pyomo.environ as pyo
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

import bilevel
from bilevel.contracts.finding import Termination, Verdict
from bilevel.errors import OptionError
from bilevel.files.model_files import load_model
from bilevel.programs.answer import Status
from bilevel.results.landscape import Landscape
from bilevel.results.plots.comparison import plot_comparison
from bilevel.results.plots.incumbents import curve_of
from bilevel.results.result import Result
from bilevel.upper.archive import Evaluation


def search(values, sense=1, method="random"):
    """A search that saw these F; None where the lower level had no answer."""
    history = [
        Evaluation(i, (i,), {})
        if value is None
        else Evaluation(i, (i,), {}, {}, Status.OPTIMAL, value, (), 0.0, sense * value)
        for i, value in enumerate(values)
    ]
    known = [value for value in values if value is not None]
    best = sense * min(sense * value for value in known) if known else None
    verdict = Verdict.BEST_FOUND if known else Verdict.FAILED
    return Result(method, verdict, Termination.BUDGET, best, history=history, evaluations=len(values))


EXACT = Result("kkt", Verdict.CERTIFIED_GLOBAL, Termination.OPTIMALITY, 1.0)
LOCAL = Result("local", Verdict.VERIFIED_LOCAL, Termination.OPTIMALITY, 1.5)


def test_the_curve_is_the_incumbent_in_the_users_sense():
    curve = curve_of(search([None, 5.0, 7.0, 3.0, 3.0]))
    assert (curve.counts, curve.values, curve.end) == ([2, 4], [5.0, 3.0], 5)
    assert curve_of(search([None, 5.0, 7.0, 3.0], sense=-1)).values == [5.0, 7.0]
    assert curve_of(search([None, None])) is None
    assert curve_of(EXACT) is None


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_a_file_is_written(tmp_path, ending):
    path = tmp_path / f"out.{ending}"
    plot_comparison([EXACT, LOCAL, search([9000.0, 3.0, 2.5, 2.0]), search([1.0] * 300, method="grid")], path)
    assert path.stat().st_size > 3000


def test_nothing_found_is_still_a_picture(tmp_path):
    plot_comparison([search([None, None])], tmp_path / "out.svg")
    assert (tmp_path / "out.svg").exists()


def test_an_unknown_ending_lists_those_there_are(tmp_path):
    with pytest.raises(OptionError, match=r"out\.abc.*\.png"):
        plot_comparison([EXACT], tmp_path / "out.abc")


def test_pyplot_is_left_alone(tmp_path):
    code = (
        "import sys; from bilevel.results.plots.comparison import plot_comparison; assert 'matplotlib' not in sys.modules\n"
        f"plot_comparison([], {str(tmp_path / 'out.png')!r}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    commands.run([sys.executable, "-c", code], check=True)


def numbers(model):
    model.r = pyo.Var(bounds=(1e-3, 1e2))
    bilevel.set_scale(model.r, "log")
    model.i = pyo.Var(within=pyo.Integers, bounds=(-3, 9))
    model.idle = pyo.Var(bounds=(0.5, 0.5))
    return (pyo.log10(model.r) - 0.4) ** 2 + 0.05 * (model.i - 2) ** 2 + 0 * model.idle


def one(model):
    model.r = pyo.Var(bounds=(0, 1))
    return (model.r - 0.3) ** 2


def listed(model):
    model.s = pyo.Var(within=pyo.Set(initialize=[1.0, 10.0, 100.0]))
    return pyo.log10(model.s)


def solved(build, sense=pyo.minimize, method="random", budget=20):
    model = pyo.ConcreteModel()
    wanted = build(model)
    model.lower = bilevel.LowerLevel()
    model.lower.y = pyo.Var()
    model.lower.obj = pyo.Objective(expr=(model.lower.y - wanted) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y * (1 if sense == pyo.minimize else -1), sense=sense)
    return bilevel.solve(model, method, budget=budget, seed=1)


def words(figure):
    """All that a figure says."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("build", [numbers, one, listed])
def test_a_run_is_drawn(build, sense, tmp_path):
    result = solved(build, sense)
    figure = result.plot(tmp_path / "run.png", known=0.0)
    assert (tmp_path / "run.png").stat().st_size > 10_000
    said = words(figure)
    assert "known: 0" in said
    assert "incumbent" in said or build is listed
    if build is numbers:
        assert "importance" in said
        assert "idle" not in said


def test_few_points_and_exact_methods_are_drawn_without_a_surrogate():
    assert "surrogate" not in words(solved(numbers, budget=2).plot())
    assert "proved bound" in words(solved(one, method="kkt").plot())


def test_the_surrogate_is_a_model_of_the_history():
    result = solved(numbers, method="gp", budget=40)
    land = Landscape(result.space, result.history)
    units = np.array([land.unit(e.point) for e in result.history])
    mean, low, high = land.predict(units)
    known = np.array([e.cost for e in result.history])
    assert np.abs(mean - known).max() < 0.02 * np.ptp(known)
    assert (low <= mean).all()
    assert (mean <= high).all()


def test_importance_finds_what_matters():
    """r spans (log r - 0.4)^2 up to 11.6, i spans 0.05 (i - 2)^2 up to 2.45: by hand the total indices are 0.93 and 0.07."""
    result = solved(numbers, method="random", budget=80)
    shares = Landscape(result.space, result.history).importances()
    r, i = (next(k for k, d in enumerate(result.space) if d.name == name) for name in "ri")
    assert list(shares) == [r, i]
    assert shares[r] == pytest.approx(0.93, abs=0.04)
    assert shares[i] == pytest.approx(0.07, abs=0.04)


def test_points_that_break_a_constraint_are_told_apart(tmp_path):
    result = bilevel.solve(load_model("coupling"), "gp", budget=12, seed=1)
    said = words(result.plot())
    assert "break a constraint" in said
    assert "no answer, or infeasible" in said


def test_the_space_goes_into_json():
    (described,) = solved(one, budget=3).to_dict()["space"]
    assert (described["name"], described["lower"], described["upper"], described["scale"]) == ("r", 0.0, 1.0, "linear")


def test_the_axis_of_an_integer_has_no_halves():
    figure = solved(numbers, budget=30).plot()
    figure.canvas.draw()
    axes = [axis for a in figure.findobj(Axes) for axis in (a.xaxis, a.yaxis) if axis.get_label_text() == "i"]
    assert len(axes) >= 2
    assert all(float(tick).is_integer() for axis in axes for tick in axis.get_ticklocs())


@pytest.mark.parametrize("fixed", [False, True])
def test_a_variable_that_does_not_matter_moves_nothing(fixed):
    model = pyo.ConcreteModel()
    model.kind = pyo.Var(within=pyo.Set(initialize=["a", "b"]))
    model.b = pyo.Var(within=pyo.Binary)
    model.degree = pyo.Var(bounds=(0, 4))
    model.only = bilevel.ActiveWhen(model.degree, model.b if fixed else model.kind, [1] if fixed else ["b"])
    if fixed:
        model.b.fix(0)
    model.lower = bilevel.LowerLevel(response=lambda x: {"y": x["kind"] == "b" and 1 + (x["degree"] - 1) ** 2})
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    result = bilevel.solve(model, "random", budget=20 - 18 * fixed)
    (k,) = (k for k, d in enumerate(result.space) if d.name == "degree")
    if not fixed:
        assert "degree (inactive here)" in words(result.plot())
    (told,) = json.loads(result.to_json())["conditions"]
    assert (told["place"], told["when"]) == (k, [] if fixed else [1])
    history = [replace(e, index=i) for e in result.history for i in range(4)]
    land = Landscape(result.space, history, result.conditions)
    assert not land.matters(k)
    means = land.predict(land.along(k, np.linspace(0, 1, 5)))[0]
    assert np.ptp(means) < 1e-12
