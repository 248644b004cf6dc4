"""What the solvers' libraries have to say does not reach the terminal."""

import os
import sys
from pathlib import Path

import casadi as ca
import commands
import numpy as np
import pyomo.environ as pyo
import pyscipopt
import pytest

import bilevel
from bilevel import LowerLevel, Response
from bilevel.errors import RefusedError
from bilevel.programs.answer import Status
from bilevel.programs.program import Program
from bilevel.solvers.engines.ipopt import _CasadiSolver
from bilevel.solvers.libraries.scip_silence import silence


def test_a_derivative_in_x_that_is_no_number_is_not_complained_of(capfd):
    """The follower's answer is fine at x = 0, and CasADi would differentiate the square root by itself."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(-2, 2))
    y = model.lower.y
    model.lower.obj = pyo.Objective(expr=pyo.exp(y) - y + pyo.sqrt(model.x) * y)
    model.obj = pyo.Objective(expr=y**2)
    reply = Response(model)([0.0])
    assert reply.status is Status.OPTIMAL
    assert reply.y == pytest.approx([0.0], abs=1e-6)
    assert capfd.readouterr() == ("", "")


def test_more_equations_than_variables_are_not_complained_of(capfd):
    y = ca.SX.sym("y", 2)
    program = Program(
        name="overconstrained",
        parameters=ca.SX.sym("x", 1),
        variables=y,
        objective=ca.sumsqr(y) + ca.exp(y[0]),
        rows=ca.vertcat(y[0] + y[1], y[0] - y[1], y[0] * y[1]),
        row_lower=np.array([1.0, 0.0, 0.25]),
        row_upper=np.array([1.0, 0.0, 0.25]),
        lower=np.full(2, -np.inf),
        upper=np.full(2, np.inf),
        integer=np.zeros(2, dtype=bool),
    )
    _CasadiSolver(program)(np.zeros(1))
    assert capfd.readouterr() == ("", "")


def misuse():
    model = pyscipopt.Model()
    model.hideOutput()
    model.setObjective(model.addVar("x"))
    model.optimize()
    with pytest.raises(Exception, match="SCIP"):
        model.addVar("too late")


def test_the_error_lines_of_scip_are_silenced_and_come_back(capfd):
    misuse()
    assert "ERROR" in capfd.readouterr().err
    with silence():
        misuse()
    assert capfd.readouterr() == ("", "")
    misuse()
    assert "ERROR" in capfd.readouterr().err


def in_a_new_process(code):
    path = os.pathsep.join([str(Path(bilevel.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = commands.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=True)
    return done.stdout, done.stderr


LINEAR = """
highs.addVar(0.0, 1.0)
highs.run()
print(highs.modelStatusToString(highs.getModelStatus()), flush=True)
"""


def test_the_banner_of_highs_does_not_reach_a_pipe():
    """Printed when the first object of a process is made: asked in a process of its own, which has made none."""
    code = "from bilevel.solvers.libraries.quiet_highs import quiet_highs\nhighs = quiet_highs()" + LINEAR
    assert in_a_new_process(code) == ("Optimal\n", "")


def test_highs_runs_where_another_program_has_run_it_on_more_threads():
    first = "import highspy\nhighs = highspy.Highs()\nhighs.setOptionValue('threads', 2)" + LINEAR
    second = "from bilevel.solvers.libraries.quiet_highs import quiet_highs\nhighs = quiet_highs()" + LINEAR
    printed, errors = in_a_new_process(first + second)
    assert (printed.splitlines()[-1], errors) == ("Optimal", "")


def test_what_numpy_warns_of_on_the_way_is_not_heard():
    """In Pyomo's intervals, of a row that holds nothing: warnings are errors here."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-2, 2))
    model.low = LowerLevel()
    model.low.y = pyo.Var()
    model.low.row = pyo.Constraint(expr=model.low.y**2 <= model.x * 0)
    model.low.obj = pyo.Objective(expr=model.low.y)
    model.obj = pyo.Objective(expr=(model.x - 1) ** 2 + model.low.y)
    with pytest.raises(RefusedError, match="not linear"):
        bilevel.solve(model, "upper_boxes")
