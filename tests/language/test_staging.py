"""Cutting a computation where it first meets y, and machine code for large graphs."""

import casadi as ca
import numpy as np

from bilevel.graphs import native
from bilevel.graphs.compiled import Compiled
from bilevel.graphs.staging import split


def graph():
    x, y = ca.SX.sym("x", 3), ca.SX.sym("y", 2)
    inner = ca.exp(x[0] * x[1]) + ca.sin(x[2])
    outputs = ca.vertcat(inner * y[0] + ca.sqrt(inner) * y[1] ** 2, inner, y[0], 3.0 + 0 * y[1], ca.fmax(x[0], y[1]))
    return x, y, outputs


def test_both_stages_together_give_the_same_values():
    x, y, outputs = graph()
    cut, symbols, rest = split(outputs, x)
    whole, first, second = Compiled([x, y], [outputs]), Compiled([x], [cut]), Compiled([symbols, y], [rest])
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.random(3), rng.random(2)
        np.testing.assert_array_equal(second(first(a)[0], b)[0], whole(a, b)[0])


def test_the_late_stage_does_not_see_x_and_the_early_one_not_y():
    x, y, outputs = graph()
    cut, _, rest = split(outputs, x)
    assert not ca.depends_on(rest, x)
    assert not ca.depends_on(cut, y)


def large(n=400):
    x = ca.SX.sym("x", n)
    chain = x[0]
    for k in range(1, n):
        chain = ca.sin(chain * x[k]) + ca.exp(-(x[k] ** 2)) / (1.0 + chain**2)
    return x, ca.vertcat(chain, ca.gradient(chain, x))


def test_machine_code_gives_the_same_bits_and_is_kept(machine_code):
    x, outputs = large(150)
    function = Compiled([x], [outputs])
    assert function.function.n_instructions() >= native.SMALLEST
    point = np.random.default_rng(1).random(150)
    before = function(point)[0].copy()
    library = native.Native(function.function)
    library.make()
    library._job._process.wait()
    made = library.load()
    assert made is not None
    function._connect(made)
    np.testing.assert_array_equal(function(point)[0], before)
    again = native.Native(function.function)
    again.make()
    assert again._job is None  # taken from the folder, not made again
    assert len(list(machine_code.glob("*.so"))) == 1


def test_without_a_compiler_the_interpreter_goes_on(monkeypatch):
    monkeypatch.setenv("BILEVEL_NATIVE", "0")
    x, outputs = large(150)
    function = Compiled([x], [outputs])
    point = np.random.default_rng(2).random(150)
    before = function(point)[0].copy()
    function._quicken()
    np.testing.assert_array_equal(function(point)[0], before)
