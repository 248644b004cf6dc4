"""The transcript: what was recognised, what was decided, and no line that says nothing new."""

from __future__ import annotations

import io

from bilevel.command_line.main import main
from bilevel.contracts.settings import Settings
from bilevel.results.transcript import Transcript
from bilevel.upper.archive import Archive


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def told(*steps) -> list[str]:
    """The lines of a run whose steps are (seconds, method, arguments)."""
    stream, clock = io.StringIO(), Clock()
    transcript = Transcript(stream, clock)
    for seconds, method, *arguments in steps:
        clock.now = seconds
        getattr(transcript, method)(*arguments)
    return stream.getvalue().splitlines()


def test_bounds_stand_in_a_table_and_only_where_they_move():
    lines = told(
        (0, "started", "kkt", Settings(time_limit=60.0)),
        (1, "bounded", -7.0, None),
        (2, "bounded", -7.0, -20.0),
        (3, "bounded", -7.0, -20.0001),
        (4, "bounded", -12.0, -13.0),
        (5, "finished", "kkt"),
    )
    assert lines[0] == "kkt: seed 0, time limit 60 s"
    assert lines[1].split() == ["seconds", "incumbent", "F", "bound", "on", "F", "gap"]
    assert [line.split() for line in lines[2:5]] == [
        ["1.00", "-7", "-", "-"],
        ["2.00", "-7", "-20", "1.9"],
        ["4.00", "-12", "-13", "0.083"],
    ]
    assert lines[5] == "kkt ended after 5.00 s"


def test_a_flood_of_bounds_is_thinned_but_the_last_is_told():
    steps = [(k / 1000, "bounded", -7.0, -100.0 + k) for k in range(90)]
    lines = told((0, "started", "kkt", Settings()), *steps, (1, "finished", "kkt"))
    assert len(lines) <= 6
    assert any("-11" in line.split() for line in lines)


def test_decisions_are_told_with_their_time():
    lines = told((0, "started", "kkt", Settings()), (0.25, "said", "lower is convex"))
    assert lines[-1] == "     0.25  lower is convex"


def test_an_empty_archive_is_no_news():
    assert told((0, "evaluated", Archive())) == []


def test_the_command_tells_the_story_on_standard_error(capsys):
    assert main(["bard", "--verbose", "--method", "kkt", "--complementarity", "big_m"]) == 0
    said = capsys.readouterr()
    assert "lower level lower: minimise lower.obj" in said.err
    assert "global half (big_m, highs)" in said.err
    assert "bound on F" in said.err
    assert "verdict" in said.out
    assert "lower level lower" not in said.out


def test_quiet_and_verbose_exclude_each_other(capsys):
    assert main(["bard", "--verbose", "--quiet"]) == 2
    assert "not allowed with" in capsys.readouterr().err
