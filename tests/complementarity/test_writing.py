"""The single-level model as a file: another solver reads it and finds the same optimum under the same names."""

from __future__ import annotations

import highspy
import pyscipopt
import pytest

from bilevel.command_line.main import main
from bilevel.errors import OptionError, RefusedError
from bilevel.files.model_files import load_model
from bilevel.files.single_level_files import write


def solved_by_scip(path) -> tuple[float, set[str]]:
    solver = pyscipopt.Model()
    solver.hideOutput()
    solver.readProblem(str(path))
    solver.optimize()
    assert solver.getStatus() == "optimal"
    return solver.getObjVal(), {var.name for var in solver.getVars(transformed=False)}


def solved_by_highs(path) -> float:
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    assert solver.readModel(str(path)) == highspy.HighsStatus.kOk
    solver.run()
    return solver.getInfo().objective_function_value


@pytest.mark.parametrize("ending", [".lp", ".nl"])
@pytest.mark.parametrize("name", ["auto", "sos1_cut", "big_m", "product", "strong_duality", "disjunction", "hull"])
def test_scip_reads_it_and_finds_the_optimum(tmp_path, ending, name):
    path = tmp_path / f"single{ending}"
    assert "6 complementarity pairs" in write(load_model("bard", {}), path, name)
    value, names = solved_by_scip(path)
    assert value == pytest.approx(-12, abs=1e-3)
    assert "x" in names
    assert {"lower_y", "lower.y"} & names


@pytest.mark.parametrize("ending", [".lp", ".mps"])
@pytest.mark.parametrize("name", ["big_m", "big_m_cut", "disjunction"])
def test_highs_reads_a_linear_one(tmp_path, ending, name):
    path = tmp_path / f"single{ending}"
    write(load_model("bard", {}), path, name)
    assert solved_by_highs(path) == pytest.approx(-12, abs=1e-6)


def test_untreated_it_is_a_relaxation_and_says_so(tmp_path):
    path = tmp_path / "relaxed.mps"
    assert "left out: a relaxation" in write(load_model("bard", {}), path, "none")
    assert solved_by_highs(path) <= -12


def test_what_mps_cannot_hold_is_refused_with_the_cure(tmp_path):
    path = tmp_path / "single.mps"
    with pytest.raises(RefusedError, match=r"special ordered sets.*\.lp.*big_m"):
        write(load_model("bard", {}), path, "sos1")
    assert not path.exists()


def test_what_lp_cannot_hold_is_refused_with_the_cure(tmp_path):
    path = tmp_path / "single.lp"
    with pytest.raises(RefusedError, match=r"write a \.nl file"):
        write(load_model("bard", {}), path, "fischer_burmeister")
    assert not path.exists()
    assert write(load_model("bard", {}), path.with_suffix(".nl"), "fischer_burmeister")


def test_an_ending_that_means_nothing(tmp_path):
    with pytest.raises(OptionError, match=r"\.lp, \.nl, \.mps"):
        write(load_model("bard", {}), tmp_path / "single.txt")


def test_the_command_writes_and_solves_nothing(tmp_path, capsys):
    path = tmp_path / "single.lp"
    assert main(["bard", "--write", str(path), "--complementarity", "big_m"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "treated by big_m" in said.err
    assert solved_by_highs(path) == pytest.approx(-12)


def test_the_command_knows_before_it_begins_that_there_is_no_folder(tmp_path, capsys):
    assert main(["bard", "--write", str(tmp_path / "no" / "single.lp")]) == 2
    assert "there is no folder" in capsys.readouterr().err
