from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel.errors import LoadingError
from bilevel.files.bolib.matlab import Formula, NotRead, column, tokens
from bilevel.files.bolib.reader import read_bolib

PAIR = """\
function w=pair(x,y,keyf,keyxy)
% a problem of this test, written as BOLIB's files are
% [dim_x dim_y dim_G dim_g] = [2 2 5 4]
a = 3;
if nargin<4 || isempty(keyxy)
    switch keyf
    case 'F'; w = 2*(x(1)+x(2))-a*(y(1)+y(2))-60;
    case 'G'; w = [[1 1]*x+[1 -2]*y-40; x-[50
                   50]; -x];    % five rows
    case 'f'; w = sum((y-x+20).^2);
    case 'g'; [A,~,b]=data();
              w = [A*y-b'; y-x/2+10];
    end
else
    switch keyf
    case 'F'; w = nothing(x);
    end
end
end
function [A, B, b]=data()
A = [-1, 0; 0 -1];
B = zeros(2); b = [10 10];
end
"""


def put(folder, text=PAIR):
    (folder / "pair.m").write_text(text)
    return folder / "pair.m"


def test_a_problem_is_read(tmp_path):
    model = bilevel.load_model(put(tmp_path))
    x, y = model.x, model.lower.y
    for var, value in zip([*x.values(), *y.values()], (1.0, 2.0, 3.0, 5.0), strict=True):
        var.set_value(value, skip_validation=True)
    assert pyo.value(model.objective) == 2 * 3 - 3 * 8 - 60
    assert pyo.value(model.lower.objective) == 22**2 + 23**2
    assert [var.bounds for var in x.values()] == [(0, 50)] * 2
    assert [var.bounds for var in y.values()] == [(-10, None)] * 2
    assert [pyo.value(row.body) for row in model.G.values()] == [3 + 3 - 10 - 40]
    assert [pyo.value(row.body) for row in model.lower.g.values()] == [12.5, 14]


def test_a_problem_is_solved(tmp_path):
    text = PAIR.replace("sum((y-x+20).^2)", "(y(1)-x(1)+20)^2+(y(2)-x(2)+20)^2")
    result = bilevel.solve(bilevel.load_model(put(tmp_path, text)), "kkt")
    assert result.verdict == "certified_global"
    assert result.upper_objective <= 1e-6 + 5  # Aiyoshi and Shimizu (1984)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[dim_x", "[dimension", "line 1: it does not say how many variables"),
        ("a*(y(1)", "a*(y(3)", r"line 7: not read: the index 3.0 among 2"),
        ("sum((y", "total((y", "line 10: not read: 'total', which is none of abs"),
        ("5 4]", "4 4]", "line 8: 4 rows of G are announced and 5 there"),
        ("x+[1 -2]*y", "x+[1 -2 3]*y", "line 8: not read: a product of 1 x 3 and 2 x 1"),
        ("case 'f'; w", "case 'f'; v", "line 10: case 'f' gives no w"),
        ("A = [-1, 0; 0 -1];", "A = {1};", "line 21: not read: '{'"),
    ],
)
def test_what_is_not_read_is_named_by_its_line(tmp_path, old, new, message):
    with pytest.raises(LoadingError, match=message):
        read_bolib(put(tmp_path, PAIR.replace(old, new)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-2^2", [[-4]]),
        ("2^-1", [[0.5]]),
        ("[1 -2]", [[1, -2]]),
        ("[1 - 2]", [[-1]]),
        ("[1-2 3]", [[-1, 3]]),
        ("[a' 4; 0 0 0]", [[1, 2, 4], [0, 0, 0]]),
        ("a(2)*[1;2]", [[2], [4]]),
        ("a(1:2)' - [3 4]", [[-2, -2]]),
        ("[a -a](2,:)", None),
        ("M(2,:)", [[3, 4]]),
        ("M(:,1)'*a", [[7]]),
        ("sum(M)", [[4, 6]]),
        ("sum(a)", [[3]]),
        ("prod(a)/2", [[1]]),
        ("diag(a)", [[1, 0], [0, 2]]),
        ("eye(2)-ones(2,2)", [[0, -1], [-1, 0]]),
        ("a.^2", [[1], [4]]),
        ("2.*a./a", [[2], [2]]),
        ("norm([3;4])", [[5]]),
        ("1e1+.5", [[10.5]]),
        ("[]", np.zeros((0, 0))),
        ("M^2", None),
        ("a*a", None),
        ("a+[1 2 3]", None),
        ("[a; 1 2]", None),
        ("a(0)", None),
        ("2 +", None),
    ],
)
def test_formulas(text, value):
    numbers = {"a": column([1.0, 2.0]), "M": np.array([[1.0, 2.0], [3.0, 4.0]], dtype=object)}
    if value is None:
        with pytest.raises(NotRead):
            Formula(tokens(text), numbers).value()
    else:
        assert np.array_equal(Formula(tokens(text), numbers).value().astype(float), np.array(value, dtype=float))
