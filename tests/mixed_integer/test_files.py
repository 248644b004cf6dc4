from __future__ import annotations

import highspy
import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bilevel
from bilevel import LowerLevel
from bilevel.command_line.main import main
from bilevel.errors import LoadingError, RefusedError
from bilevel.files.aux_file import AuxFile, LowerData, write_aux
from bilevel.files.mps import Column, LinearData, Row, write_mps
from bilevel.files.mps_aux import read_mps_aux, write_mps_aux
from bilevel.files.mps_reader import read_mps

FIXED = """\
* moore and bard, with every section
NAME          moore90
OBJSENSE
    MIN
ROWS
 N  COST
 N  unused
 L  steep
 L  budget
 L  right
 G  least
COLUMNS
    M1        'MARKER'                 'INTORG'
    x         COST             -1.0    steep           -25.0
    x         budget            1.0    right             2.0
    x         least             2.0    unused            1.0
    y         COST            -10.0    steep            20.0
    y         budget            2.0    right            -1.0
    y         least            10.0
    M2        'MARKER'                 'INTEND'
RHS
    RHS       steep            30.0    budget           10.0
    RHS       right            15.0    least            15.0
    RHS       COST             -3.0
RANGES
    RNG       budget           50.0
BOUNDS
 UP BND       x                10.0
 LI BND       y                 0.0
 UI BND       y                10.0
ENDATA
"""
BY_INDEX = "N 1\nM 4\nLC 1\nLR 0\nLR 1\nLR 2\nLR 3\nLO 1\nOS 1\n"
BY_NAME = (
    "@NUMVARS\n1\n@NUMCONSTRS\n4\n@VARSBEGIN\ny 1.\n@VARSEND\n@CONSTRSBEGIN\nsteep\nbudget\nright\nleast\n"
    "@CONSTRSEND\n@NAME\nmoore90\n@MPS\nmoore90.mps\n"
)


@pytest.fixture
def instance(tmp_path):
    def write(mps=FIXED, aux=BY_NAME):
        (tmp_path / "moore90.mps").write_text(mps)
        (tmp_path / "moore90.aux").write_text(aux)
        return tmp_path / "moore90.mps"

    return write


@pytest.mark.parametrize("aux", [BY_INDEX, BY_NAME, BY_NAME.replace("CONSTRS", "CONSTR")])
def test_moore_and_bard_from_files(instance, aux):
    result = bilevel.solve(bilevel.load_model(instance(aux=aux)), "mixed_integer")
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(-22 + 3)
    assert result.upper == {"x": 2}
    assert result.lower == {"lower.y": 2}


def test_the_command_line_reads_them(instance, capsys):
    assert main([str(instance()), "--method", "mixed_integer", "--quiet"]) == 0
    assert main([str(instance(mps=FIXED.replace("-25.0", "-2x.0"))), "--quiet"]) == 2
    assert "moore90.mps, line 14: '-2x.0' is no number" in capsys.readouterr().err


def test_a_setting_makes_no_sense(instance):
    with pytest.raises(LoadingError, match="no setting 'size'"):
        bilevel.load_model(instance(), {"size": "3"})


def test_a_maximising_follower_in_either_form(instance):
    by_index = bilevel.load_model(instance(aux=BY_INDEX.replace("LO 1\nOS 1", "LO -1\nOS -1")))
    assert by_index.lower.objective.sense == pyo.maximize
    by_name = bilevel.load_model(
        instance(aux=BY_NAME.replace("y 1.", "y -1.").replace("@NAME", "@OBJSENSE\nMAX\n@NAME"))
    )
    for model in (by_index, by_name):
        assert bilevel.solve(model, "mixed_integer").upper_objective == pytest.approx(-19)


def test_fixed_format_with_blanks_in_names(tmp_path):
    text = FIXED.replace("    x         ", "    x one     ").replace("BND       x    ", "BND       x one")
    (tmp_path / "a.mps").write_text(text.replace("x one         10.0", "x one         10.0"))
    data = read_mps(tmp_path / "a.mps")
    assert list(data.columns) == ["x one", "y"]
    assert data.columns["x one"].upper == 10.0


def test_names_that_pyomo_cannot_keep_are_remembered(instance, tmp_path):
    path = instance(mps=FIXED.replace(" x  ", " a-b"), aux=BY_NAME)
    model = bilevel.load_model(path)
    assert model.file_names[model.a_b] == "a-b"
    write_mps_aux(model, tmp_path / "again.mps")
    assert set(read_mps(tmp_path / "again.mps").columns) == {"a-b", "y"}


WRONG = {
    "line 14: there is no row stoop": FIXED.replace("-1.0    steep", "-1.0    stoop"),
    "line 3: section QUADOBJ is not read": FIXED.replace("OBJSENSE\n    MIN", "QUADOBJ"),
    "line 9: row steep is declared twice": FIXED.replace(" L  budget", " L  steep"),
    "line 30: the file ends without ENDATA": FIXED.replace("ENDATA\n", ""),
    "line 28: 'UP BND z 10.0' names no column": FIXED.replace(" UP BND       x ", " UP BND       z "),
    "line 28: the upper bound -10 of x lies below": FIXED.replace("x                10.0", "x               -10.0"),
    "line 28: a bound of type SC is not read": FIXED.replace(" UP BND", " SC BND"),
    "line 17: column y has two entries in row steep": FIXED.replace("20.0", "20.0    steep             1.0", 1).replace(
        "y         COST            -10.0    ", "y         "
    ),
    "no sense": FIXED.replace("    MIN", "    BEST"),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_mps_file_is_named_by_its_line(instance, message):
    with pytest.raises(LoadingError, match=r"moore90\.mps, line ") as error:
        bilevel.load_model(instance(mps=WRONG[message]))
    assert message in str(error.value)


WRONG_AUX = {
    "line 3: there is no column number 7": BY_INDEX.replace("LC 1", "LC 7"),
    "line 8: 'LX 1' is not read": BY_INDEX.replace("LO 1", "LX 1"),
    "there are 1 LC and 0 LO lines": BY_INDEX.replace("LO 1\n", ""),
    "2 lower variables are announced and 1 listed": BY_INDEX.replace("N 1", "N 2"),
    "line 9: the sense 3 is not read": BY_INDEX.replace("OS 1", "OS 3"),
    "line 10: there are 0 IC lines, and 2 columns": BY_INDEX + "IB 4\n",
    "line 6: the MPS file has no column w": BY_NAME.replace("y 1.", "w 1."),
    "line 9: the MPS file has no row stoop": BY_NAME.replace("steep", "stoop"),
    "line 8: @CONSTRAINTS is not read": BY_NAME.replace("@CONSTRSBEGIN", "@CONSTRAINTS"),
    "steep is listed twice": BY_INDEX.replace("LR 1", "LR 0"),
    "is missing": BY_NAME[: BY_NAME.index("@CONSTRSEND")],
}


@pytest.mark.parametrize("message", WRONG_AUX)
def test_a_wrong_aux_file_is_named_by_its_line(instance, message):
    with pytest.raises(LoadingError, match=r"moore90\.aux, line ") as error:
        bilevel.load_model(instance(aux=WRONG_AUX[message]))
    assert message in str(error.value)


def test_no_aux_file(instance):
    path = instance()
    path.with_suffix(".aux").unlink()
    with pytest.raises(LoadingError, match="an MPS file needs an AUX file"):
        bilevel.load_model(path)


numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: v + 0.0)
names = st.text("abcXYZ_0123[],.", min_size=1, max_size=6).map(lambda s: f"n{s}")


@st.composite
def linear_data(draw):
    data = LinearData(name="random", maximize=draw(st.booleans()), constant=draw(numbers))
    for name in draw(st.lists(names, min_size=1, max_size=5, unique=True)):
        low, high = sorted(draw(st.tuples(st.one_of(numbers, st.just(-np.inf)), st.one_of(numbers, st.just(np.inf)))))
        data.columns[name] = Column(name, low, high, draw(st.booleans()))
    entries = st.dictionaries(st.sampled_from(list(data.columns)), numbers.filter(bool))
    data.objective = draw(entries)
    for name in draw(st.lists(names, max_size=4, unique=True)):
        kind, value, span = draw(st.sampled_from("LGER")), float(draw(st.integers(-99, 99))), draw(st.integers(1, 9))
        ends = {"L": (-np.inf, value), "G": (value, np.inf), "E": (value, value), "R": (value, value + span)}
        data.rows[name] = Row(name, *ends[kind], draw(entries))
    return data


@given(data=linear_data())
def test_mps_round_trip(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("mps") / "random.mps"
    write_mps(data, path)
    assert read_mps(path) == data


@given(data=linear_data())
def test_highs_reads_what_is_written_the_same_way(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("mps") / "random.mps"
    write_mps(data, path)
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.readModel(str(path))
    lp = highs.getLp()
    assert lp.col_names_ == list(data.columns)
    assert lp.row_names_ == list(data.rows)
    assert list(lp.col_lower_) == [c.lower for c in data.columns.values()]
    assert list(lp.col_upper_) == [c.upper for c in data.columns.values()]
    assert list(lp.row_lower_) == [r.lower for r in data.rows.values()]
    assert list(lp.row_upper_) == [r.upper for r in data.rows.values()]
    assert list(lp.col_cost_) == [data.objective.get(name, 0.0) for name in data.columns]
    assert lp.offset_ == data.constant
    assert (lp.sense_ == highspy.ObjSense.kMaximize) == data.maximize


@given(data=linear_data(), share=st.floats(0, 1), maximize=st.booleans(), form=st.sampled_from(["name", "index"]))
def test_aux_round_trip(tmp_path_factory, data, share, maximize, form):
    path = tmp_path_factory.mktemp("aux") / "random.aux"
    columns, rows = list(data.columns), list(data.rows)
    below = columns[: max(1, round(share * len(columns)))]
    lower = LowerData({name: float(k) for k, name in enumerate(below)}, rows[: round(share * len(rows))], maximize)
    write_aux(lower, path, columns, rows, form, "random.mps")
    found = AuxFile(path).lower(columns, rows)
    assert found.rows == lower.rows
    assert list(found.objective) == below
    sign = [1 - 2 * data.maximize for data in (lower, found)]
    assert [sign[0] * a for a in lower.objective.values()] == [sign[1] * a for a in found.objective.values()]


def small():
    m = pyo.ConcreteModel("small")
    m.x = pyo.Var(within=pyo.Integers, bounds=(0, 10), initialize=1)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var([1, 2], within=pyo.Integers, bounds=(0, 10))
    m.lower.row = pyo.Constraint(expr=(0, m.x - 2 * m.lower.y[1] + 1, 4))
    m.lower.equal = pyo.Constraint(expr=m.lower.y[1] + m.lower.y[2] == 7)
    m.lower.obj = pyo.Objective(expr=m.lower.y[1], sense=pyo.maximize)
    m.top = pyo.Constraint(expr=m.x + m.lower.y[2] >= 3)
    m.obj = pyo.Objective(expr=m.x - 3 * m.lower.y[1] + 5, sense=pyo.maximize)
    return m


@pytest.mark.parametrize("form", ["name", "index"])
def test_a_written_model_has_the_same_answer(tmp_path, form):
    want = bilevel.solve(small(), "mixed_integer")
    write_mps_aux(small(), tmp_path / "small.mps", form=form)
    again = read_mps_aux(tmp_path / "small.mps")
    found = bilevel.solve(again, "mixed_integer")
    assert found.verdict == want.verdict == "certified_global"
    assert found.upper_objective == pytest.approx(want.upper_objective)
    write_mps_aux(again, tmp_path / "twice.mps", form=form)
    assert read_mps(tmp_path / "twice.mps").columns == read_mps(tmp_path / "small.mps").columns
    assert read_mps(tmp_path / "twice.mps").rows == read_mps(tmp_path / "small.mps").rows


def test_writing_refuses_what_the_files_cannot_hold(tmp_path):
    path = tmp_path / "no.mps"
    m = small()
    m.obj.set_value(m.x**2)
    with pytest.raises(RefusedError, match="obj is not linear"):
        write_mps_aux(m, path)
    m = small()
    m.lower.obj.set_value(m.lower.y[1] + m.x)
    with pytest.raises(RefusedError, match=r"lower\.obj has a constant or a term in the leader"):
        write_mps_aux(m, path)
    m = small()
    m.x.domain = pyo.Set(initialize=[0, 2, 5])
    with pytest.raises(RefusedError, match="x takes its values from a list"):
        write_mps_aux(m, path)
    m = small()
    m.other = LowerLevel()
    m.other.z = pyo.Var(bounds=(0, 1))
    m.other.obj = pyo.Objective(expr=m.other.z)
    with pytest.raises(RefusedError, match="2 followers"):
        write_mps_aux(m, path)
    assert not path.exists()
