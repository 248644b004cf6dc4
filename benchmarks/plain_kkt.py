"""What one writes without a bilevel package: Pyomo's ``core.kkt``, the pairs as products, SCIP, and trust.

This stands beside the exact methods in ``exact.py --peers``. It believes what it gets: no convexity is asked for, no
answer is solved again.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo
from pyomo.contrib.solver.common.factory import SolverFactory
from pyomo.core.expr.visitor import identify_variables

from bilevel import LowerLevel


def solve(model: Any, limit: float) -> tuple[str, float | None, float | None]:
    """The verdict in the words of ``bilevel``, F, and the bound."""
    single_level(model)
    scip = SolverFactory("scip_direct")
    found = scip.solve(model, time_limit=limit, load_solutions=False, raise_exception_on_nonoptimal_result=False)
    status = found.termination_condition.name
    if status in ("provenInfeasible", "infeasibleOrUnbounded"):
        return "infeasible", None, None
    if status == "unbounded":
        return "unbounded", None, None
    if found.incumbent_objective is None:
        return "failed", None, found.objective_bound
    verdict = "certified_global" if status == "convergenceCriteriaSatisfied" else "best_found"
    return verdict, found.incumbent_objective, found.objective_bound


def single_level(model: Any, big_m: float | None = None) -> None:
    """Put the conditions of each lower level in its place, the pairs as products or with binaries and a big M."""
    for lower in list(model.component_objects(LowerLevel, active=True)):
        model.reclassify_component_type(lower, pyo.Block)
        for block in lower.values():
            objective = block.component("obj")
            if (
                objective.sense == pyo.maximize
            ):  # core.kkt multiplies by the sense itself, which the solvers' writers refuse
                objective.set_value(-objective.expr)
                objective.sense = pyo.minimize
            own = {id(v) for v in block.component_data_objects(pyo.Var)}
            found = [*block.component_data_objects(pyo.Constraint, active=True), objective]
            data = {id(v): v for part in found for v in identify_variables(part.expr) if id(v) not in own}
            pyo.TransformationFactory("core.kkt").apply_to(block, parameterize_wrt=list(data.values()))
    if big_m is None:
        pyo.TransformationFactory("mpec.simple_nonlinear").apply_to(model, mpec_bound=0.0)
    else:
        pyo.TransformationFactory("mpec.simple_disjunction").apply_to(model)
        pyo.TransformationFactory("gdp.bigm").apply_to(model, bigM=big_m)
