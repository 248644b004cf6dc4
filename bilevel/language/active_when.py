"""Upper variables that matter only where another one takes certain values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyomo.core.base.block import BlockData, ScalarBlock

from bilevel.errors import SpaceError
from bilevel.language.domains import each


class ActiveWhen(ScalarBlock):
    """A declaration that some upper variables matter only where another one takes certain values.

    Elsewhere they do not change what the followers answer nor F: that is the modeller's word, on which the searches
    save evaluations and which an exact path does not need. Where the other variable
    is inactive itself, so are they. Several declarations about one variable hold together.

    Parameters
    ----------
    variables : pyomo Var or sequence of pyomo Var
        What is conditional; an indexed one stands for all its elements.
    on : pyomo Var
        A scalar variable with a finite domain: a category, a list, an integer, a binary.
    values : iterable
        Where it takes one of these the variables are active.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> from bilevel import ActiveWhen
    >>> model = pyo.ConcreteModel()
    >>> model.kernel = pyo.Var(within=pyo.Set(initialize=["rbf", "poly"]))
    >>> model.degree = pyo.Var(within=pyo.Integers, bounds=(2, 5))
    >>> model.only = ActiveWhen(model.degree, model.kernel, ["poly"])
    >>> model.only.on.name, model.only.taken, [var.name for var in model.only.variables]
    ('kernel', ['poly'], ['degree'])
    """

    def __init__(self, variables: Any, on: Any, values: Iterable[Any], **kwargs: Any) -> None:
        kwargs.setdefault("ctype", ActiveWhen)
        super().__init__(**kwargs)
        listed = variables if isinstance(variables, (list, tuple)) else [variables]
        self._variables = [data for var in listed for data in each(var)]
        self._switch = each(on)  # a list: a variable that is an attribute of a block is a component of it
        self._taken = list(values)
        if len(self._switch) > 1:
            raise SpaceError(f"ActiveWhen(..., {on.name}, ...): name one element of it")
        if isinstance(values, str) or not self._taken:
            raise SpaceError(f"ActiveWhen(..., {on.name}, values): give a list of values")

    @property
    def variables(self) -> list[Any]:
        """The conditional variables that are free."""
        return [var for var in self._variables if not var.fixed]

    @property
    def on(self) -> Any:
        """The variable they depend on."""
        return self._switch[0]

    @property
    def taken(self) -> list[Any]:
        """Its values that make them active."""
        return list(self._taken)


def conditions_on(block: BlockData) -> list[ActiveWhen]:
    """The active :class:`ActiveWhen` components on a block and the ordinary blocks inside it."""
    return list(block.component_objects(ActiveWhen, active=True, descend_into=True))
