"""Descent on the hypergradient where the leader's constraints involve the follower's answer."""

import numpy as np
import pyomo.environ as pyo
import pytest
from histories import StopAt, told
from scipy.optimize import brentq, nnls

import bilevel
from bilevel import LowerLevel, Response, least_squares, set_scale
from bilevel.contracts.search import Search
from bilevel.errors import RefusedError
from bilevel.files.model_files import gallery, load_model
from bilevel.registry import register
from bilevel.solvers.loop.studies import study_at
from bilevel.tolerances import FEASIBILITY
from bilevel.upper.archive import Evaluation


def ridge_data():
    rng = np.random.default_rng(2)
    X, V = rng.standard_normal((40, 6)), rng.standard_normal((30, 6))
    w = rng.standard_normal(6)
    return X, X @ w + 0.3 * rng.standard_normal(40), V, V @ w + 0.3 * rng.standard_normal(30)


def coefficients(penalty):
    X, y, _, _ = ridge_data()
    return np.linalg.solve(X.T @ X + penalty * np.eye(6), X.T @ y)


def ridge(largest, start=1e-2):
    """One penalty, and a budget on the norm of the coefficients that only a heavy one keeps."""
    X, y, V, v = ridge_data()
    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(1e-3, 1e3), initialize=start)
    set_scale(model.penalty, "log")
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(6))
    w = model.lower.w
    model.lower.obj = pyo.Objective(expr=least_squares(X, y, w) + model.penalty * sum(w[j] ** 2 for j in w))
    model.norm = pyo.Constraint(expr=sum(w[j] ** 2 for j in w) <= largest)
    model.obj = pyo.Objective(expr=least_squares(V, v, w))
    return model


@pytest.mark.parametrize("share", [0.9, 0.3])
@pytest.mark.parametrize("starts", [None, 1])  # alone with the model's start, which breaks the constraint
def test_a_ridge_regression_keeps_its_budget(share, starts):
    largest = share * float(coefficients(1e-2) @ coefficients(1e-2))
    _, _, V, v = ridge_data()

    def best(limit):
        penalty = brentq(lambda p: coefficients(p) @ coefficients(p) - limit, 1e-3, 1e3, xtol=1e-14)
        return penalty, np.sum((V @ coefficients(penalty) - v) ** 2)

    penalty, loss = best(largest)
    _, loss_within_tolerance = best(largest + FEASIBILITY * max(1.0, largest))
    result = bilevel.solve(ridge(largest), "gradient", budget=40, seed=0, starts=starts)
    assert result.verdict == "best_found"
    assert result.upper_violation <= FEASIBILITY
    assert loss_within_tolerance - 1e-9 <= result.upper_objective <= loss * (1 + 1e-7)
    assert result.upper["penalty"] == pytest.approx(penalty, rel=1e-4)


def tolls(most=None, exactly=None):
    """Two tolled roads beside a free one, costs that grow with the flow; the leader limits the tolled traffic."""
    model = pyo.ConcreteModel()
    model.t = pyo.Var([1, 2], bounds=(0, 20), initialize=0.0)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([0, 1, 2], bounds=(0, None))
    t, y = model.t, model.lower.y
    model.lower.demand = pyo.Constraint(expr=y[0] + y[1] + y[2] == 6)
    costs = sum(COST[k] * y[k] + SLOPE[k] / 2 * y[k] ** 2 for k in y)
    model.lower.obj = pyo.Objective(expr=costs + t[1] * y[1] + t[2] * y[2])
    if most is not None:
        model.limit = pyo.Constraint(expr=y[1] + y[2] <= most)
    if exactly is not None:
        model.limit = pyo.Constraint(expr=y[1] + y[2] == exactly)
    model.obj = pyo.Objective(expr=t[1] * y[1] + t[2] * y[2], sense=pyo.maximize)
    return model


COST, SLOPE = np.array([8.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0])


def best_tolls(total):
    """In the flows y1, y2 the tolls are c0 + q0 (6 - y1 - y2) - ck - qk yk, and the revenue is a concave quadratic."""
    H = -2.0 * (SLOPE[0] * np.ones((2, 2)) + np.diag(SLOPE[1:]))
    g = COST[0] + 6.0 * SLOPE[0] - COST[1:]
    system = np.block([[H, np.ones((2, 1))], [np.ones((1, 2)), np.zeros((1, 1))]])
    free = np.linalg.solve(H, -g)
    y = free if total is None else np.linalg.solve(system, [*-g, total])[:2]
    return 0.5 * y @ H @ y + g @ y, g - SLOPE[0] * y.sum() - SLOPE[1:] * y


@pytest.mark.parametrize(
    ("limits", "total"),
    [({}, None), ({"most": 2.5}, 2.5), ({"exactly": 2.0}, 2.0), ({"exactly": 4.5}, 4.5), ({"most": 5.9}, None)],
)
def test_tolls_with_a_limit_on_the_traffic(limits, total):
    revenue, prices = best_tolls(total)
    result = bilevel.solve(tolls(**limits), "gradient", budget=80, seed=1)
    assert result.upper_violation <= FEASIBILITY
    assert result.upper_objective == pytest.approx(revenue, abs=1e-5)
    assert [result.upper["t[1]"], result.upper["t[2]"]] == pytest.approx(prices, abs=1e-3)


def mix():
    """A small marketing mix whose first channel must have two fifths of the effect of all."""
    model = load_model(gallery()["marketing_mix"], {"channels": 3, "days": 60, "train": 30, "validation": 15})
    b = model.lower.b
    first = next(iter(model.media))
    model.floor = pyo.Constraint(expr=b[first] >= 0.4 * sum(b[c] for c in model.media))
    return model


def test_a_marketing_mix_keeps_a_channels_share_and_is_stationary():
    result = bilevel.solve(mix(), "gradient", budget=300, seed=0)
    assert result.upper_violation <= FEASIBILITY
    response = Response(mix())
    found = bilevel.solve(mix(), "random", budget=600, seed=0)
    assert result.upper_objective <= found.upper_objective
    x = response.vector(result.upper)
    derivatives = response.gradient(x)
    low, high = (np.array([getattr(v, end) for v in response.problem.variables]) for end in ("lb", "ub"))
    at_low, at_high = x <= low + 1e-6, x >= high - 1e-6
    assert derivatives.coupling == pytest.approx([0.0], abs=1e-6)  # 0.4 sum - b <= 0 is active
    normals = np.vstack([-np.eye(len(x))[at_low], np.eye(len(x))[at_high], derivatives.jacobian]).T
    _, residual = nnls(normals * (high - low)[:, None], -derivatives.value * (high - low))
    assert residual <= 1e-4


def test_integers_are_held_and_coupling_kept():
    def create():
        model = pyo.ConcreteModel()
        model.n = pyo.Var(within=pyo.Integers, bounds=(0, 3))
        model.x = pyo.Var(bounds=(0, 4), initialize=0.0)
        model.lower = LowerLevel()
        model.lower.y = pyo.Var()
        model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x - model.n) ** 2)
        model.enough = pyo.Constraint(expr=model.lower.y >= 2.5)
        model.obj = pyo.Objective(expr=model.x**2 + 0.1 * model.n + (model.n - 1) ** 2)
        return model

    values = {n: max(2.5 - n, 0.0) ** 2 + 0.1 * n + (n - 1) ** 2 for n in range(4)}
    result = bilevel.solve(create(), "gradient", budget=120, seed=0)
    assert result.upper_objective == pytest.approx(min(values.values()), abs=1e-6)
    assert result.upper["n"] == min(values, key=values.get)


def test_constraints_over_x_and_coupling_hold_together():
    model = tolls(most=2.5)
    model.fair = pyo.Constraint(expr=model.t[1] - model.t[2] <= 0.5)
    result = bilevel.solve(model, "gradient", budget=80, seed=0)
    assert all(e.upper["t[1]"] - e.upper["t[2]"] <= 0.5 + 1e-6 for e in result.history)
    again = tolls(most=2.5)
    again.fair = pyo.Constraint(expr=again.t[1] - again.t[2] <= 0.5)
    proved = bilevel.solve(again, "kkt", time_limit=60)
    assert proved.verdict == "certified_global"
    assert result.upper_violation <= FEASIBILITY
    assert result.upper_objective == pytest.approx(proved.upper_objective, abs=1e-4)


def test_a_start_far_from_feasible_points_is_led_to_them():
    """Feasible x fill a hundredth of the box; the answer is curved in x, and no constraint is linear in it."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var([1, 2], bounds=(-5, 5), initialize=-4.0)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([1, 2])
    x, y = model.x, model.lower.y
    model.lower.obj = pyo.Objective(expr=(y[1] - x[1] * x[2]) ** 2 + (y[2] - x[1] + x[2] ** 2) ** 2)
    model.ring = pyo.Constraint(expr=y[1] ** 2 + y[2] ** 2 <= 0.04)
    model.obj = pyo.Objective(expr=(x[1] - 3) ** 2 + x[2] ** 2)
    result = bilevel.solve(model, "gradient", budget=80, seed=0, starts=1)
    assert result.upper_violation <= FEASIBILITY
    grid = [(a, b) for a in np.linspace(-1, 1, 801) for b in np.linspace(-1, 1, 401)]
    a, b = np.array(grid).T
    kept = (a * b) ** 2 + (a - b**2) ** 2 <= 0.04
    assert result.upper_objective <= ((a - 3) ** 2 + b**2)[kept].min() + 1e-6


def test_what_cannot_be_kept_is_said():
    model = tolls(most=-1.0)
    result = bilevel.solve(model, "gradient", budget=20, seed=0)
    assert result.verdict == "failed"
    assert any("coupling" in note for note in result.notes)


def test_the_study_keeps_the_constraints_derivatives_to_the_last_bit(tmp_path):
    whole = bilevel.solve(tolls(2.5), "gradient", budget=40, seed=3, study=f"{tmp_path}/whole.log")
    bilevel.solve(tolls(2.5), "gradient", budget=40, seed=3, study=f"{tmp_path}/part.log", observer=StopAt(15))
    resumed = bilevel.solve(tolls(2.5), "gradient", budget=40, seed=3, study=f"{tmp_path}/part.log")
    assert any("15 of" in note for note in resumed.notes)
    assert told(resumed) == told(whole)
    stored = study_at(f"{tmp_path}/part.log")
    assert [repr(stored.evaluations[k].jacobian) for k in range(40)] == [repr(e.jacobian) for e in whole.history]
    assert whole.history[0].coupling is not None
    assert np.shape(whole.history[0].jacobian) == (1, 2)
    stored.close()


def test_workers_have_the_same_history():
    alone = bilevel.solve(tolls(2.5), "gradient", budget=25, seed=3)
    assert told(bilevel.solve(tolls(2.5), "gradient", budget=25, seed=3, workers=2)) == told(alone)


def test_a_search_that_does_not_keep_coupling_is_refused():
    @register("blind-descent")
    class Blind(Search):
        """Uses gradients and knows nothing of coupling."""

        uses_gradients = True

        def ask(self, count=1):
            return []

    with pytest.raises(RefusedError, match=r"blind-descent cannot hold the coupling constraint limit"):
        bilevel.solve(tolls(2.5), "blind-descent", budget=5)


def test_derivatives_stay_out_of_reports():
    plain = Evaluation(0, (0.5,), {"x": 0.5}, gradient=(1.0,), coupling=(0.5,), jacobian=((1.0,),)).to_dict()
    assert not {"gradient", "coupling", "jacobian", "cost"} & set(plain)
