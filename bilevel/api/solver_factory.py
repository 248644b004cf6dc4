"""``pyo.SolverFactory("bilevel")``: the Pyomo habit, for scripts that choose a solver by name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pyomo.common.collections import Bunch
from pyomo.core.base.objective import Objective, maximize, minimize
from pyomo.opt import SolverFactory, SolverResults, SolverStatus, TerminationCondition

from bilevel.contracts.finding import Termination, Verdict
from bilevel.errors import RefusedError
from bilevel.version import __version__

if TYPE_CHECKING:
    from bilevel.results.result import Result

_CONDITION = {
    Verdict.CERTIFIED_GLOBAL: TerminationCondition.globallyOptimal,
    Verdict.VERIFIED_LOCAL: TerminationCondition.locallyOptimal,
    Verdict.BEST_FOUND: TerminationCondition.feasible,
    Verdict.INFEASIBLE: TerminationCondition.infeasible,
    Verdict.UNBOUNDED: TerminationCondition.unbounded,
    Verdict.FAILED: TerminationCondition.error,
}


_OF_PYOMO = ("keepfiles", "logfile", "raise_exception_on_nonoptimal_result", "report_timing", "suffixes")
"""Pyomo's own arguments that are taken where they ask for nothing; asked for, each is refused by name."""


@SolverFactory.register("bilevel", doc="Bilevel models: search, reformulate, verify")
class BilevelSolver:
    """What ``SolverFactory("bilevel")`` makes.

    Parameters
    ----------
    **options
        Defaults for every call of :meth:`solve`; the arguments of :func:`bilevel.solve`. They can be set later, as
        ``solver.options["budget"] = 50`` or ``solver.options.budget = 50``.

    Examples
    --------
    >>> import bilevel
    >>> import pyomo.environ as pyo
    >>> model = bilevel.load_model("toy")
    >>> found = pyo.SolverFactory("bilevel", seed=1).solve(model, method="grid", budget=21)
    >>> print(found.solver.termination_condition, found.bilevel.verdict, pyo.value(model.obj))
    feasible best_found 0.0
    """

    def __init__(self, **options: Any) -> None:
        options.pop("type", None)
        self.options = Bunch(**{**options.pop("options", {}), **options})

    def available(self, exception_flag: bool = True) -> bool:
        """Whether it can be used: always."""
        return True

    def license_is_valid(self) -> bool:
        """No licence is needed."""
        return True

    def version(self) -> tuple[int, ...]:
        """Version of the toolkit."""
        return tuple(int(part) for part in __version__.split("."))

    def solve(self, model: Any, **options: Any) -> SolverResults:
        """Solve as :func:`bilevel.solve` does; its Result is the attribute ``bilevel`` of what is returned.

        Parameters
        ----------
        model : ConcreteModel
            Its variables take the values of the answer.
        **options
            The arguments of :func:`bilevel.solve`, and Pyomo's own: ``timelimit`` means ``time_limit``, ``options``
            is a dict of more of them, ``tee`` and ``symbolic_solver_labels`` are taken and ignored, and others where
            they ask for nothing (``keepfiles=False``). With ``load_solutions=False`` the model's variables keep their
            values.

        Raises
        ------
        BilevelError
            If the model or the call is wrong; a name that is no argument is one.
        """
        from bilevel.api.solving import solve
        from bilevel.api.starting import Values
        from bilevel.reading.several.objectives import has_several

        if has_several(model):
            raise RefusedError(
                f"SolverFactory('bilevel') gives one optimum, and {model.name} has several upper objectives; ask"
                " bilevel.solve for their front, or deactivate all but one"
            )
        merged = {**self.options, **options.pop("options", {}), **options}
        idle = [name for name in _OF_PYOMO if not merged.get(name, True)]
        for name in ("tee", "symbolic_solver_labels", *idle):
            merged.pop(name, None)
        load = merged.pop("load_solutions", True)
        if "timelimit" in merged:
            merged["time_limit"] = merged.pop("timelimit")
        before = None if load else Values(model)
        try:
            result = solve(model, **merged)
        finally:
            if before is not None:
                before.restore()
        return _as_pyomo(result, model)

    def __enter__(self) -> BilevelSolver:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


def _as_pyomo(result: Result, model: Any) -> SolverResults:
    """The same outcome in Pyomo's words."""
    found = SolverResults()
    found.problem.name = model.name
    found.solver.name = f"bilevel: {result.method}"
    found.solver.status = SolverStatus.ok if result.verdict is not Verdict.FAILED else SolverStatus.warning
    found.solver.termination_condition = _CONDITION[result.verdict]
    if result.termination is Termination.TIME_LIMIT and result.verdict is not Verdict.CERTIFIED_GLOBAL:
        found.solver.termination_condition = TerminationCondition.maxTimeLimit
    found.solver.message = "; ".join(result.notes)
    found.solver.time = result.seconds
    _bound(found.problem, result, model)
    found.bilevel = result
    return found


def _bound(problem: Any, result: Result, model: Any) -> None:
    """What is proved of F from both sides, infinite where nothing is: the point is one bound, the proof the other."""
    objectives = list(model.component_data_objects(Objective, active=True, descend_into=True))
    problem.sense = objectives[0].sense if len(objectives) == 1 else minimize
    point = result.upper_objective if result.verdict.holds_a_point else None
    proof = result.bound
    low, high = (point, proof) if problem.sense == maximize else (proof, point)
    problem.lower_bound, problem.upper_bound = -math.inf if low is None else low, math.inf if high is None else high
