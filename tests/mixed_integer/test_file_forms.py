from __future__ import annotations

import gzip
import math
import re
import sys
from pathlib import Path

import highspy
import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings

import bilevel
from bilevel import LowerLevel
from bilevel.command_line.main import main
from bilevel.errors import LoadingError, OptionError, RefusedError
from bilevel.files.lp import write_lp
from bilevel.files.lp_reader import read_lp
from bilevel.files.mps_aux import read_mps_aux, write_mps_aux

sys.path.insert(0, str(Path(__file__).parent))
from test_files import BY_INDEX, BY_NAME, FIXED, linear_data

SACK = """\
NAME          sack
ROWS
 N  worth
 L  room
COLUMNS
    a         worth            -12.0   room               5.0
    b         worth             -9.0   room               4.0
    c         worth            -14.0   room               7.0
    d         worth             -7.0   room               3.0
RHS
    RHS       room              12.0
BOUNDS
 BV BND       a
 BV BND       b
 BV BND       c
 UI BND       d                  2.0
ENDATA
"""
BLOCKED = (
    "N 4\nM 5\nLC 4\nLC 5\nLC 6\nLC 7\nLR 1\nLR 2\nLR 3\nLR 4\nLR 5\nLO -12\nLO -9\nLO -14\nLO -7\nOS 1\n"
    "IC 4\nIC 3\nIC 5\nIC 2\nIB 7\n"
)
LP = """\
\\ moore and bard, in the ways a writer may choose
Minimize
 cost: - x - 10
   y + 3
Subject To
 steep: -25x + 20 y <= 30
 -40 <= x + 2 y <= 10
 right: 2 x - 1 y =< 15
 least:
   2 x + 10 y >= 1.5e1
Bounds
 x <= 10
 0 <= y <= 10
Generals
 x y
End
"""
OLD = "N 1\nM 4\nOS 1\n@VARSBEGIN\ny 1\n@CONSTSBEGIN\nsteep\nbudget\nright\nleast\n"
BY_NAME_IN_INDEX = "N 1\nM 4\nLC y\nLR steep\nLR budget\nLR right\nLR least\nLO 1\nOS 1\n"


def put(folder, name, text):
    data = text.encode()
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder / name


def optimum(model):
    result = bilevel.solve(model, "mixed_integer")
    assert result.verdict == "certified_global"
    return result.upper_objective


@pytest.mark.parametrize(
    ("instance", "beside", "aux"),
    [
        (("i.mps", FIXED), "i.txt", BY_INDEX),
        (("i.mps.gz", FIXED), "i.aux.gz", BY_NAME),
        (("i.mps.gz", FIXED), "i.mps.aux", BY_NAME_IN_INDEX),
        (("i.lp", LP), "i.aux", BY_NAME.replace("budget", "R2").replace("@MPS", "@LP")),
        (("i.lp.gz", LP), "i.txt.gz", OLD.replace("budget", "R2")),
    ],
)
def test_moore_and_bard_in_every_form(tmp_path, instance, beside, aux):
    path = put(tmp_path, *instance)
    put(tmp_path, beside, aux)
    model = bilevel.load_model(path)
    rows = [row.name for row in model.lower.component_data_objects(pyo.Constraint)]
    assert rows == [f"lower.{name}" for name in ("steep", "R2" if ".lp" in path.name else "budget", "right", "least")]
    assert optimum(model) == pytest.approx(-19)


def test_the_aux_file_leads_to_its_instance(tmp_path, capsys):
    put(tmp_path, "other.mps", FIXED)
    aux = put(tmp_path, "i.aux", BY_NAME.replace("moore90.mps", "other.mps"))
    assert main([str(aux), "--method", "mixed_integer", "--quiet"]) == 0
    aux = put(tmp_path, "j.aux", BY_INDEX)
    assert main([str(aux), "--quiet"]) == 2
    assert "has no MPS or LP file beside it; put j.mps there" in capsys.readouterr().err


def test_the_interdiction_form(tmp_path):
    path = put(tmp_path, "sack.mps", SACK)
    put(tmp_path, "sack.txt", BLOCKED)
    model = bilevel.load_model(path)
    assert [var.name for var in model.component_data_objects(pyo.Var)][:4] == [f"block_{c}" for c in "abcd"]
    assert str(model.lower.blocked_d.expr) == "2.0*block_d + lower.d  <=  2.0"
    assert optimum(model) == pytest.approx(21)  # a and b cost 7, and c with one d is left


def test_the_interdiction_form_is_found_again(tmp_path):
    put(tmp_path, "sack.txt", BLOCKED)
    model = bilevel.load_model(put(tmp_path, "sack.mps", SACK))
    write_mps_aux(model, tmp_path / "again.mps.gz", form="interdiction")
    text = gzip.decompress((tmp_path / "again.aux.gz").read_bytes()).decode()
    assert text.endswith("IC 4.0\nIC 3.0\nIC 5.0\nIC 2.0\nIB 7.0\n")
    again = read_mps_aux(tmp_path / "again.mps.gz")
    assert optimum(again) == optimum(model)
    model.lower.more = pyo.Constraint(expr=model.lower.a + model.block_b <= 1)
    with pytest.raises(RefusedError, match="row more does more than to block one column"):
        write_mps_aux(model, tmp_path / "no.mps", form="interdiction")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BLOCKED.replace("IB 7\n", ""), "line 20: there are IC lines and no budget"),
        (BLOCKED.replace("IC 5\n", ""), "line 20: there are 3 IC lines, and 4 columns"),
        (BLOCKED.replace("LC 7", "LC 3"), "LC 4 to 7"),
        (BLOCKED.replace("LC 7", "LC 8"), "line 6: there is no column number 8"),
    ],
)
def test_a_wrong_interdiction_file(tmp_path, text, message):
    put(tmp_path, "sack.txt", text)
    with pytest.raises(LoadingError, match=message):
        bilevel.load_model(put(tmp_path, "sack.mps", SACK))


WRONG_LP = {
    "line 6: '\\^' is not read": LP.replace("-25x", "-25x^2"),
    "line 8: 'right' where row R3 needs <=": LP.replace("x + 2 y <= 10", "x + 2 y 10"),
    "line 12: no row and no objective has z": LP.replace(" x <= 10\n", " z <= 10\n"),
    "line 12: 'x <= ten' is no": LP.replace(" x <= 10\n", " x <= ten\n"),
    "line 15: the file ends without End": LP.replace("End\n", ""),
    "line 8: row steep is there twice": LP.replace("right:", "steep:"),
    "line 2: 'Best' stands in no section": LP.replace("Minimize", "Best"),
    "line 14: section SOS is not read": LP.replace("Generals", "SOS"),
    "line 6: x stands on the right of row steep": LP.replace("<= 30", "<= 30 x"),
}


@pytest.mark.parametrize("message", WRONG_LP)
def test_a_wrong_lp_file_is_named_by_its_line(tmp_path, message):
    put(tmp_path, "i.aux", BY_NAME.replace("budget", "R2"))
    with pytest.raises(LoadingError, match=message):
        bilevel.load_model(put(tmp_path, "i.lp", WRONG_LP[message].replace("\\ moore", "\\ Moore")))


def test_a_broken_gzip_file_is_said(tmp_path):
    put(tmp_path, "i.aux", BY_NAME)
    path = tmp_path / "i.mps.gz"
    path.write_bytes(gzip.compress(FIXED.encode())[:-20])
    with pytest.raises(LoadingError, match="no whole gzip file"):
        bilevel.load_model(path)


@settings(max_examples=20)
@given(data=linear_data())
def test_lp_round_trip_and_highs_reads_the_same(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("lp") / "random.lp"
    if re.search(r"[\[\]]", "".join([*data.columns, *data.rows])):  # a bracket begins a quadratic term
        with pytest.raises(RefusedError, match="is no name in an LP file"):
            write_lp(data, path)
        return
    write_lp(data, path)
    found = read_lp(path)
    assert found.columns == data.columns
    assert found.rows == data.rows
    assert (found.objective, found.constant, found.maximize) == (data.objective, data.constant, data.maximize)
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    if highs.readModel(str(path)) != highspy.HighsStatus.kOk:
        return  # it drops numbers near zero
    lp = highs.getLp()
    assert lp.col_names_ == list(data.columns)
    assert list(lp.col_lower_) == [c.lower for c in data.columns.values()]
    assert list(lp.row_upper_) == [r.upper for r in data.rows.values()]
    assert lp.offset_ == data.constant


def test_the_command_line_writes_both_levels(tmp_path, capsys):
    assert main(["moore_bard", "--write", str(tmp_path / "m.aux")]) == 0
    assert "wrote" in capsys.readouterr().err
    assert optimum(bilevel.load_model(tmp_path / "m.mps")) == pytest.approx(-22)


@pytest.mark.parametrize("name", ["m.lp", "m.mps", "m.aux", "m.lp.gz"])
def test_a_written_model_is_read_again(tmp_path, name):
    m = pyo.ConcreteModel()
    m.x, m.lower = pyo.Var(within=pyo.Integers, bounds=(-3, 4)), LowerLevel()
    m.lower.y = pyo.Var(within=pyo.Integers, bounds=(None, 4))
    m.lower.row = pyo.Constraint(expr=2 * m.lower.y + m.x >= -0.125)
    m.lower.obj, m.obj = pyo.Objective(expr=m.lower.y), pyo.Objective(expr=3 * m.lower.y + m.x + 1e-7)
    write_mps_aux(m, tmp_path / name)
    again = bilevel.load_model(tmp_path / name)
    assert optimum(again) == optimum(m)


def test_pyomos_own_lp_files_are_read(tmp_path):
    m = pyo.ConcreteModel()
    m.v = pyo.Var([1, 2], bounds=(0, 5), within=pyo.Integers)
    m.c = pyo.Constraint(expr=(1, m.v[1] - 2 * m.v[2], math.inf))
    m.o = pyo.Objective(expr=m.v[1] + 4, sense=pyo.maximize)
    m.write(str(tmp_path / "p.lp"), io_options={"symbolic_solver_labels": True})
    data = read_lp(tmp_path / "p.lp")
    assert data.maximize
    assert {c.name: (c.lower, c.upper, c.integer) for c in data.columns.values() if c.integer} == {
        "v(1)": (0, 5, True),
        "v(2)": (0, 5, True),
    }
    assert [(r.lower, r.upper) for r in data.rows.values()] == [(1, np.inf)]


def test_an_ending_or_a_form_that_is_none(tmp_path):
    m = bilevel.load_model("moore_bard")
    with pytest.raises(OptionError, match="the ending says which format"):
        write_mps_aux(m, tmp_path / "m.nl")
    with pytest.raises(OptionError, match="goes by one of name, index, interdiction"):
        write_mps_aux(m, tmp_path / "m.mps", form="short")
