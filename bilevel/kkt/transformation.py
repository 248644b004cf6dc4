"""The entry ``bilevel.kkt`` in Pyomo's ``TransformationFactory``.

Registered by :mod:`bilevel.pyomo_entries`, so that whoever declares a follower has it.
"""

from __future__ import annotations

from typing import Any

from pyomo.core.base.transformation import TransformationFactory


@TransformationFactory.register(
    "bilevel.kkt", doc="Replaces every LowerLevel by its optimality conditions: an ordinary single-level model."
)
class KKTTransformation:
    """``TransformationFactory("bilevel.kkt").create_using(model)``: optimality conditions in its place.

    What it makes is told in :mod:`bilevel.kkt.conditions`.

    Options
    -------
    lift : bool, default True
        Whether maxima become variables, as Pyomo's writers need it.
    complementarity : str or None, default "sos1"
        Name of the treatment that imposes the complementarity pairs, on the block ``complementarity``. Without one the
        pairs are only listed, on ``bilevel_kkt.pairs``: the model is then a relaxation until something imposes them.

    Examples
    --------
    >>> import bilevel
    >>> import pyomo.environ as pyo
    >>> single = pyo.TransformationFactory("bilevel.kkt").create_using(bilevel.load_model("toy"))
    >>> [(pair.source, pair.side) for pair in single.bilevel_kkt.pairs]
    [('lower.reach', 'upper'), ('lower.y', 'lower')]
    """

    def __init__(self, **kwargs: Any) -> None:
        """Take what the factory passes and needs nobody here."""

    def create_using(self, model: Any, **options: Any) -> Any:
        """The single-level model, made from a clone; the user's model stays as it is."""
        instance = model.clone()
        self.apply_to(instance, **options)
        return instance

    def apply_to(self, model: Any, *, lift: bool = True, complementarity: str | None = "sos1") -> None:
        """Transform a model in place."""
        from bilevel import registry
        from bilevel.contracts.treatment import Treatment
        from bilevel.errors import RefusedError
        from bilevel.kkt.conditions import apply_conditions

        treatment = registry.get(Treatment, complementarity)() if complementarity is not None else None
        apply_conditions(model, lift=lift)
        if treatment is not None:
            reason = treatment.refusal(model)
            if reason is not None:
                raise RefusedError(f"complementarity={complementarity!r}: {reason}")
            treatment.apply(model)
