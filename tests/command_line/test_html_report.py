"""The report as one HTML page: it holds what the text report holds, and needs nothing else."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from test_report import EXACT, REFUSED, SEARCH

from bilevel.command_line.main import main
from bilevel.programs.answer import Status
from bilevel.results.comparison import Comparison
from bilevel.results.page import comparison_page, result_page
from bilevel.upper.archive import Evaluation

NO_END = {"meta", "img", "br"}


class Reader(HTMLParser):
    """The words of a page, its pictures, and whether every tag that opens is closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words, self.pictures, self.open, self.links = "", [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("href", "src") and not value.startswith("data:")]
        self.pictures += [dict(attrs)["src"]] if tag == "img" else []
        self.open += [] if tag in NO_END else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += "" if self.open[-1:] == ["style"] else f" {data}"


def read(page: str) -> Reader:
    found = Reader(page)
    assert not found.links
    assert "http" not in page
    for picture in found.pictures:
        assert base64.b64decode(picture.partition("base64,")[2]).startswith(b"\x89PNG")
    return found


def test_all_that_is_known_of_a_result_is_there():
    found = read(result_page(EXACT, "toy, method kkt", "python -m bilevel.solve toy --set 'a=<b>'"))
    words = " ".join(found.words.split())
    for said in ("certified_global", "toy, method kkt", "the method reached its own test", "0.0999999", "gap 1e-07",
                 "1.2e-09", "upper 0, lower 3e-10", "convexity of the lower level: proved", "penalty[sugar] 0.0123457",
                 "kernel rbf", "Lower variables (30)", "lower.w[29]", "treatment sos1, engine scip",
                 "--set 'a=<b>'", "Python 3", "pyomo"):  # fmt: skip
        assert said in words
    assert not found.pictures  # no search: there is nothing to draw


def test_a_search_is_drawn_and_what_failed_is_counted():
    def tried(k, **other):
        return Evaluation(k, (k,), {"x": k}, **other)

    answered = [
        tried(k, status=Status.OPTIMAL, upper_objective=9.0 - k, cost=9.0 - k, upper_violation=0.0) for k in (0, 1)
    ]
    broken = replace(answered[0], index=2, upper_violation=1.0)
    lost = [tried(k, message="the <simulator> died") for k in (3, 4)]
    found = read(result_page(replace(SEARCH, history=[*answered, broken, *lost])))
    assert len(found.pictures) == 1
    assert "2 of 5: the <simulator> died" in found.words
    assert "1 of 5: an upper constraint is broken" in found.words


def test_a_comparison_has_its_table_its_footnotes_and_every_method():
    found = read(comparison_page(Comparison([EXACT, SEARCH, REFUSED], not_run=["grid"], interrupted=True)))
    words = " ".join(found.words.split())
    assert re.search(r"method verdict F f bound distance .* kkt certified_global 0\.1 .* gp best_found 0\.125", words)
    assert "which kkt certified" in words
    assert "value_function: lower is [bold]a function[/bold]" in words
    assert "not finished: grid" in words
    assert len(found.pictures) == 1


def test_nothing_found_is_still_a_page():
    assert "Nothing was found" in read(result_page(REFUSED)).words
    assert "value_function" in read(comparison_page(Comparison([REFUSED]))).words


def test_the_command_line_writes_it(tmp_path, capsys, monkeypatch):
    path = tmp_path / "out.html"
    assert main(["toy", "--method", "random", "--budget", "5", "--report", str(path)]) == 0
    assert "python -m bilevel.solve toy --method random --budget 5 --report" in read(path.read_text()).words
    assert main(["toy", "--compare", "kkt,random", "--budget", "5", "--report", str(path)]) == 0
    assert len(read(path.read_text()).pictures) == 2
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    for wrong, why in (("out.txt", "end its name in .html"), ("none/out.html", "there is no folder none")):
        assert main(["toy", "--report", wrong]) == 2
        assert why in capsys.readouterr().err


@pytest.mark.parametrize("outcome", [SEARCH, Comparison([SEARCH])])
def test_the_objects_write_it(tmp_path, outcome):
    outcome.report(tmp_path / "out.html")
    assert "best_found" in read((tmp_path / "out.html").read_text()).words
