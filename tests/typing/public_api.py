"""What a user's type checker sees of ``import bilevel``: checked by mypy, run by nobody."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any, assert_type

import numpy as np
import optuna
import pyomo.environ as pyo
from matplotlib.figure import Figure
from numpy.typing import NDArray

import bilevel
from bilevel.optuna import SurrogateSampler


def solving(model: pyo.ConcreteModel) -> None:
    result = bilevel.solve(model, "gp", budget=60, seed=1, workers=2, time_limit=600, study="sqlite:///study.db")
    assert_type(result, bilevel.Result)
    assert_type(bilevel.solve(model, observer=bilevel.ProgressLine()), bilevel.Result)
    assert_type(result.method, str)
    assert_type(str(result.verdict), str)
    assert_type(result.verdict.holds_a_point, bool)
    assert_type(result.upper_objective, float | None)
    assert_type(result.lower_objective, float | None)
    assert_type(result.upper, dict[str, Any])
    assert_type(result.lower, dict[str, Any])
    assert_type(result.bound, float | None)
    assert_type(result.gap, float | None)
    assert_type(result.bilevel_gap, float | None)
    assert_type(result.upper_violation, float | None)
    assert_type(result.lower_violation, float | None)
    assert_type(result.convexity, str)
    assert_type(result.evaluations, int)
    assert_type(result.seconds, float)
    assert_type(result.notes, list[str])
    assert_type(result.schedule, list[dict[str, Any]])
    assert_type(result.to_dict(), dict[str, Any])
    assert_type(result.to_json("out.json"), str)
    assert_type(result.plot("run.png", known=0.5), Figure)


def the_front(result: bilevel.Result) -> None:
    assert_type(result.front_gap, float | None)
    assert_type(result.hypervolume, float | None)
    point = result.front[0]
    assert_type(point.upper, dict[str, Any])
    assert_type(point.upper_objectives, dict[str, float])
    assert_type(str(point.verdict), str)
    assert_type(point.bound, float | None)


def elsewhere(model: pyo.ConcreteModel, executor: Executor) -> None:
    bilevel.solve(model, "gp", study="postgresql://user@host/database", shared=True)
    bilevel.solve(model, "gp", study="study.log", workers="dask://host:8786", callbacks=[lambda study, trial: None])
    bilevel.solve(model, "gp", executor=executor, enqueue=[{"x": 1.0}], evaluation_time_limit=600)
    study = optuna.create_study(sampler=SurrogateSampler(seed=0))
    assert_type(study, optuna.Study)
    model.lower = bilevel.LowerLevel(response=lambda x: {"y": 1.0}, time_limit=60, memory_limit="2 GB", isolate=True)


def the_history(result: bilevel.Result) -> None:
    evaluation = result.history[0]
    assert_type(evaluation.point, tuple[float, ...])
    assert_type(evaluation.upper_objective, float)
    assert_type(evaluation.upper, dict[str, Any])
    assert_type(evaluation.feasible, bool)
    assert_type(evaluation.message, str)


def comparing(model: pyo.ConcreteModel) -> None:
    table = bilevel.compare(model, ["kkt", "gp"], budget=60, seed=1)
    assert_type(table.results, list[bilevel.Result])
    assert_type(table.best, bilevel.Result | None)
    assert_type(table.exact, float | None)
    assert_type(table.distance(table.results[0]), float | None)
    assert_type(table.plot(), Figure)
    assert_type(bilevel.explain(model), str)


def responding(model: pyo.ConcreteModel) -> None:
    response = bilevel.Response(model)
    assert_type(response, bilevel.Response)
    reply = response(np.array([3.0]))
    assert_type(reply.y, NDArray[np.float64] | None)
    assert_type(reply.cost, float)
    assert_type(reply.violation, float)
    assert_type(reply.proved, bool)
    replies = response.many(np.zeros((5, 1)), workers=2)
    assert_type(replies[0].cost, float)
    assert_type(replies.cost, NDArray[np.float64])
    assert_type(replies.y, NDArray[np.float64])
    gradient = response.gradient({"x": 3.0})
    assert_type(gradient.value, NDArray[np.float64])
    assert_type(gradient.smooth, bool)


def declaring(model: pyo.ConcreteModel) -> None:
    """Pyomo has no types: its expressions are Any to mypy, and what an editor reads of its source to an editor."""
    price: pyo.Var = bilevel.dual_of(model.lower.row)
    loss = bilevel.least_squares(np.eye(2), np.ones(2), model.w)
    model.obj = pyo.Objective(expr=price * model.x + loss + bilevel.maximum([model.x, 2.0]))
    assert_type(bilevel.discretize(model.x, levels=25, scale="log"), None)
    assert_type(bilevel.set_scale(model.x, "log"), None)
    assert_type(bilevel.Allowed([model.x], lambda x: x > 0).holds([1.0]), bool)
    bilevel.ActiveWhen(model.x, model.kernel, ["poly"])
    bilevel.LowerLevel(response=lambda x: {"loss": x["x"] ** 2})
    assert_type(bilevel.fidelity(model.epochs), None)
    assert_type(bilevel.report_once("test", model.lower.test), None)


def looking_cheaply(model: pyo.ConcreteModel) -> None:
    result = bilevel.solve(model, "random", budget=9, pruner="hyperband(factor=4)", repeats=3, top=5)
    assert_type(result.saved, dict[str, Any])
    assert_type(result.standard_error, float | None)
    assert_type(result.reported, dict[str, Any])
    assert_type(result.again, list[dict[str, Any]])
    assert_type(result.history[0].pruned, bool)
    assert_type(result.history[0].reports, tuple[tuple[float, float], ...])
    raise bilevel.TrialPruned


def refusing(model: pyo.ConcreteModel) -> None:
    """An ignored error that is none is an error itself: these calls must be seen to be wrong."""
    bilevel.solve(model, budget="sixty")  # type: ignore[arg-type]
    bilevel.compare(model, 3)  # type: ignore[arg-type]
    bilevel.Response(model, warm=None)  # type: ignore[arg-type]
    bilevel.load_model(3)  # type: ignore[arg-type]
    bilevel.write_mps_aux(model, 3)  # type: ignore[arg-type]


@bilevel.register("own")
class Own(bilevel.Search):
    """A part keeps its own type under the decorator."""

    step: float = 0.3

    def ask(self, count: int = 1) -> list[tuple[float, ...]]:
        return [self.space.draw(np.full(1, 0.5)) or (0.0,)] * count


assert_type(Own.step, float)
