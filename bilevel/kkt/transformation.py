"""The entry ``bilevel.kkt`` in Pyomo's ``TransformationFactory``.

Registered by :mod:`bilevel.pyomo_entries`, so that whoever declares a follower has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyomo.core.base.transformation import TransformationFactory

from bilevel.kkt.given_bounds import name_of

DEFAULT_TREATMENT = "sos1"
_LINEAR = ("highs", "appsi_highs")
_READS = {"highs": "big_m", "appsi_highs": "big_m", "ipopt": "scholtes"}  # solvers that take no sets of type 1


def treatment_for(complementarity: str | None, solver: str | None = None) -> str | None:
    """The treatment that is meant: ``auto`` is one that the solver reads."""
    if complementarity != "auto":
        return complementarity
    return _READS.get(solver or "", DEFAULT_TREATMENT)


@TransformationFactory.register(
    "bilevel.kkt", doc="Replaces every LowerLevel by its optimality conditions: an ordinary single-level model."
)
class KKTTransformation:
    """``TransformationFactory("bilevel.kkt").create_using(model)``: optimality conditions in its place.

    What it makes is told in :mod:`bilevel.kkt.conditions`. Who reads which treatment, through Pyomo 6.10 (a ``.lp``
    holds linear and quadratic functions, ``.mps`` too, ``.nl`` any):

    ============================ =================================== ==========================================
    treatment                    solvers of ``SolverFactory``        files, and what reads them
    ============================ =================================== ==========================================
    sos1, sos1_cut               scip_direct, scip_persistent,       ``.lp`` and ``.nl``: SCIP; HiGHS takes no
                                 gurobi, cplex                       sets
    big_m, big_m_cut,            the same; highs and appsi_highs     ``.lp``, ``.mps``: SCIP, HiGHS, any MILP
    disjunction, hull            where both levels are linear        solver; ``.nl``: SCIP
    strong_duality, product      scip_direct, scip_persistent,       ``.lp``, ``.nl``: SCIP, Gurobi
                                 gurobi (nonconvex products)
    scholtes, fischer_burmeister ipopt, knitro: local, and an        ``.nl``: Ipopt
                                 approximation for a positive
                                 ``complementarity.epsilon``
    ============================ =================================== ==========================================

    A quadratic lower level puts its linear gradient into the rows, so that a linear or convex quadratic F is all that
    HiGHS can be asked besides; with binaries it takes a linear F alone.

    Options
    -------
    lift : bool, default True
        Whether maxima become variables, ranges two rows and rows that are but numbers disappear, as Pyomo's writers
        and interfaces need it (:mod:`bilevel.kkt.plain_rows`).
    complementarity : str or None, default "auto"
        Name of the treatment that imposes the complementarity pairs, on the block ``complementarity``; ``auto`` is
        ``sos1``, or what ``solver`` reads. Without one the pairs are only listed, on ``bilevel_kkt.pairs``: the model
        is then a relaxation until something imposes them.
    solver : str, optional
        Who is to read the model: ``auto`` is then ``big_m`` for ``highs`` and ``scholtes`` for ``ipopt``. What
        ``highs`` cannot read is refused.
    dual_bounds : dict, optional
        What you know of multipliers: ``{constraint: number}``, where a constraint or a variable with bounds may stand
        by name (Pyomo's variables are no keys), or ``{(name, side): number}`` for its ``lower`` or ``upper`` side
        alone; the multiplier's absolute value is at most the number. With a bound that is too small the model loses
        points of the problem. Where such a bound is used and not proved, its provenance is ``given``.

    Examples
    --------
    >>> import bilevel
    >>> import pyomo.environ as pyo
    >>> single = pyo.TransformationFactory("bilevel.kkt").create_using(bilevel.load_model("toy"))
    >>> [(pair.source, pair.side) for pair in single.bilevel_kkt.pairs]
    [('lower.reach', 'upper'), ('lower.y', 'lower')]
    >>> kkt = pyo.TransformationFactory("bilevel.kkt")
    >>> linear = kkt.create_using(bilevel.load_model("bard"), solver="highs", dual_bounds={"lower.y": 100})
    >>> found = pyo.SolverFactory("highs").solve(linear)
    >>> print(round(pyo.value(linear.obj), 6))
    -12.0
    """

    def __init__(self, **kwargs: Any) -> None:
        """Take what the factory passes and needs nobody here."""

    def create_using(self, model: Any, **options: Any) -> Any:
        """The single-level model, made from a clone; the user's model stays as it is."""
        known = options.get("dual_bounds")
        if isinstance(known, Mapping):  # its components are the user's model's, not the clone's
            options["dual_bounds"] = {name_of(key): limit for key, limit in known.items()}
        instance = model.clone()
        self.apply_to(instance, **options)
        return instance

    def apply_to(
        self,
        model: Any,
        *,
        lift: bool = True,
        complementarity: str | None = "auto",
        solver: str | None = None,
        dual_bounds: Mapping[Any, float] | None = None,
    ) -> None:
        """Transform a model in place."""
        from bilevel import registry
        from bilevel.contracts.treatment import Treatment
        from bilevel.errors import RefusedError
        from bilevel.kkt.conditions import apply_conditions
        from bilevel.kkt.plain_rows import state_plainly

        name = treatment_for(complementarity, solver)
        treatment = registry.get(Treatment, name)() if name is not None else None
        block = apply_conditions(model, lift=lift)
        block.give(dual_bounds or {})
        if treatment is not None:
            reason = treatment.refusal(model)
            if reason is not None:
                raise RefusedError(f"complementarity={name!r}: {reason}")
            treatment.apply(model)
        block.impose_given()
        if lift:
            state_plainly(model, block)
        if solver in _LINEAR:
            _insist_on_linear(model, solver)


def _insist_on_linear(model: Any, solver: str) -> None:
    """Refuse what HiGHS would leave without an answer: it takes a quadratic objective, and beside integers none."""
    from pyomo.environ import Constraint, Objective, Var

    from bilevel.errors import RefusedError

    whole = any(not var.is_continuous() for var in model.component_data_objects(Var))
    for part in model.component_data_objects((Objective, Constraint), active=True):
        body = part.body if part.ctype is Constraint else part.expr
        degree = body.polynomial_degree() if hasattr(body, "polynomial_degree") else 0
        most = 2 if part.ctype is Objective and not whole else 1
        if degree is None or degree > most:
            beside = " beside integer variables" if degree == 2 and part.ctype is Objective else ""
            raise RefusedError(
                f"solver={solver!r} takes no {'quadratic' if degree == 2 else 'nonlinear'} {part.name}{beside};"
                " leave solver out, and give the model to scip_direct"
            )
