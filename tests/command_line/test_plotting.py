"""The picture of a comparison."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bilevel.archive import Evaluation
from bilevel.contracts import Status
from bilevel.errors import OptionError
from bilevel.plotting import curve_of, plot_comparison
from bilevel.result import Result, Termination, Verdict


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
        "import sys; from bilevel.plotting import plot_comparison; assert 'matplotlib' not in sys.modules\n"
        f"plot_comparison([], {str(tmp_path / 'out.png')!r}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
