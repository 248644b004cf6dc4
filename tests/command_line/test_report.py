"""What a reader sees, at 80 and 120 columns, in a pipe and on a terminal."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

import bilevel
from bilevel.contracts.finding import Termination, Verdict
from bilevel.contracts.settings import Settings
from bilevel.programs.answer import Status
from bilevel.results import progress
from bilevel.results.comparison import Comparison
from bilevel.results.progress import ProgressLine
from bilevel.results.result import Result
from bilevel.results.text import as_text, comparison_report, number, result_report, show
from bilevel.upper.archive import Archive, Evaluation

EXACT = Result(
    method="kkt",
    verdict=Verdict.CERTIFIED_GLOBAL,
    termination=Termination.OPTIMALITY,
    upper_objective=0.1,
    lower_objective=12345.678901,
    upper={"penalty[sugar]": 0.0123456789, "kernel": "rbf", "degree": 3},
    lower={f"lower.w[{i}]": i / 7 for i in range(30)},
    bound=0.0999999,
    gap=1e-7,
    bilevel_gap=1.234e-9,
    upper_violation=0.0,
    lower_violation=3e-10,
    convexity="proved",
    seconds=1.234,
    notes=["treatment sos1, engine scip"],
)
SEARCH = replace(
    EXACT,
    method="gp",
    verdict=Verdict.BEST_FOUND,
    termination=Termination.BUDGET,
    upper_objective=0.125,
    bound=None,
    gap=None,
    evaluations=60,
    convexity="unknown",
    notes=[],
)
REFUSED = Result("value_function", Verdict.FAILED, Termination.ERROR, notes=["lower is [bold]a function[/bold]"])


def rows(text: str) -> dict[str, list[str]]:
    """Lines of a table by their first word, the two halves joined."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        found.setdefault(cells[0], []).extend(cells[1:])
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (float("inf"), "inf"),
        (0.0, "0"),
        (-0.0, "0"),
        (3, "3"),
        (3.0, "3"),
        (1 / 3, "0.333333"),
        (1.5e-9, "1.5e-09"),
        (123456.7, "123457"),
        (1e7, "1e+07"),
        ("linear", "linear"),
        (True, "True"),
    ],
)
def test_numbers_are_readable(value, text):
    assert number(value) == text


@pytest.mark.parametrize("width", [80, 120])
def test_the_report_says_all_there_is(width):
    text = as_text(result_report(EXACT, "ridge (folds=3), method kkt, seed 1"), width)
    assert text.startswith("ridge (folds=3), method kkt, seed 1\n")
    assert max(map(len, text.splitlines())) <= width
    found = rows(text)
    assert found["verdict"] == ["certified_global"]
    assert found["stopped"][0].startswith("optimality: ")
    assert found["F"] == ["0.1"]
    assert found["f"] == ["12345.7"]
    assert found["bound on F"] == ["0.0999999", "(gap 1e-07)"]
    assert found["bilevel gap"][0] == "1.2e-09"
    assert found["violations"] == ["upper 0, lower 3e-10"]
    assert found["convexity"] == ["of the lower level: proved"]
    assert found["evaluations"] == ["0"]
    assert found["seconds"] == ["1.23"]
    assert found["penalty[sugar]"] == ["0.0123457"]
    assert found["kernel"] == ["rbf"]
    assert "lower.w[11]" in found
    assert "lower.w[12]" not in found
    assert "not lower.w (18)" in text
    assert "treatment sos1, engine scip" in text


@pytest.mark.parametrize("verdict", list(Verdict))
def test_each_verdict_is_explained(verdict):
    text = as_text(result_report(Result("grid", verdict, Termination.STALLED)))
    meaning = " ".join(text.partition("stopped")[0].split()[2:])
    assert meaning.endswith(".")
    assert ("Proved" in meaning) == (verdict in (Verdict.INFEASIBLE, Verdict.UNBOUNDED))


def test_an_answer_by_a_function_is_not_called_optimal():
    text = as_text(result_report(replace(SEARCH, bilevel_gap=None, lower_objective=float("nan"))))
    assert "optimal" not in text
    assert "given again by its function" in " ".join(text.split())
    assert not {"f", "bilevel gap"} & set(rows(text))


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_holds_every_figure_in_columns(width):
    text = as_text(comparison_report(Comparison([EXACT, SEARCH, REFUSED]), "ridge, budget 60"), width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("\nmethod ") == (2 if width == 80 else 1)
    found = rows(text)
    names = ["verdict", "F", "f", "bound", "distance", "bilevel gap", "evaluations", "seconds", "stopped"]
    assert found["method"] == names
    expected = ["certified_global", "0.1", "12345.7", "0.0999999", "0", "1.2e-09", "0", "1.23", "optimality"]
    assert found["kkt"] == expected
    assert found["gp"] == ["best_found", "0.125", "12345.7", "-", "0.025", "1.2e-09", "60", "1.23", "budget"]
    assert found["value_function"] == ["failed", "-", "-", "-", "-", "-", "0", "0.00", "error"]
    lines = [line for line in text.splitlines() if line.startswith(("method", "kkt", "gp"))][:3]
    ends = [re.search(pattern, line).end() for pattern, line in zip((r" F", r" 0\.1", r" 0\.125"), lines, strict=True)]
    assert len(set(ends)) == 1, "numbers are right-aligned under their heads"


def test_the_footnotes_say_what_the_table_cannot():
    text = " ".join(as_text(comparison_report(Comparison([EXACT, SEARCH, REFUSED], 1, ["de"], True))).split())
    assert "how much worse F is than 0.1, which kkt certified" in text
    assert "value_function: lower is [bold]a function[/bold]" in text, "not taken for markup"
    assert "not finished: de" in text
    assert "upper variables of the best point (kkt)" in text
    assert "no method certified its answer" in as_text(comparison_report(Comparison([SEARCH])))
    bounded = [replace(SEARCH, bound=0.11), replace(SEARCH, bound=0.12)]
    assert "no F can be better than 0.12" in " ".join(as_text(comparison_report(Comparison(bounded))).split())
    assert "no F can be better than 0.11" in " ".join(as_text(comparison_report(Comparison(bounded, -1))).split())


def test_a_point_better_than_the_certified_one_is_pointed_out():
    wrong = replace(SEARCH, upper_objective=0.05)
    assert "one of the two is wrong" in as_text(comparison_report(Comparison([EXACT, wrong])))
    assert "one of the two is wrong" not in as_text(comparison_report(Comparison([EXACT, wrong], -1)))


def test_in_a_notebook_text_is_text(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert "certified_global" in str(EXACT)
    page = replace(EXACT, notes=["a < b"])._repr_html_()
    assert page.startswith("<pre ")
    assert "monospace" in page
    assert "a &lt; b" in page


def test_an_explanation_is_a_table_in_a_notebook():
    page = bilevel.explain(bilevel.load_model("toy"))._repr_html_()
    assert page.count("<tr>") == page.count("</tr>") > 12
    assert re.search(r"<td[^>]*>depends on</td><td[^>]*>x</td>", page)
    assert re.search(r'<th colspan="2"[^>]*>lower level lower: minimise lower.obj</th>', page)
    assert "&lt;-" in page  # a row and its source


def test_a_pipe_gets_plain_text(capsys, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    show(result_report(EXACT, "toy"))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())
    assert out.isascii()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def archive():
    found = Archive()
    found.add(Evaluation(0, (1.0,), {"x": 1.0}, {}, Status.OPTIMAL, 0.25, (), 0.0, 0.25))
    return found


def watch(stream, archive):
    line = ProgressLine(stream)
    line.started("gp", Settings("gp", budget=60, time_limit=100.0))
    line.evaluated(archive)
    line.bounded(0.25, 0.125)
    line.said("no [exact] path accepts it")
    line.finished("gp")
    line.finished("gp")
    return stream.getvalue()


def test_progress_on_a_terminal(archive, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    drawn = watch(Terminal(), archive)
    for part in ("gp", "1/60 evaluations", "F 0.25", "bound 0.125", "s left", "no [exact] path accepts it"):
        assert part in drawn


def test_progress_in_a_notebook_is_one_cell_that_changes(archive, monkeypatch):
    shown = []
    publisher = SimpleNamespace(publish=lambda **message: shown.append(message))
    monkeypatch.setattr(progress, "_kernel", lambda: SimpleNamespace(display_pub=publisher))
    monkeypatch.setattr(progress, "_APART", 0.0)
    archive.add(Evaluation(1, (2.0,), {"x": 2.0}, status=Status.PRUNED))
    drawn = io.StringIO()
    watch(drawn, archive)
    assert drawn.getvalue() == ""
    lines = [message["data"]["text/plain"] for message in shown]
    assert any("2/60 evaluations  1 pruned  F 0.25" in line for line in lines)
    assert [message["update"] for message in shown] == [False] + [True] * (len(shown) - 1)
    assert len({message["transient"]["display_id"] for message in shown}) == 1
    assert lines[-1] == ""


def test_progress_in_a_pipe_is_silent(archive):
    assert watch(io.StringIO(), archive) == ""
