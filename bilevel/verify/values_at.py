"""What any component of the model is worth at the answer.

Each named Expression is evaluated once, however many others share it: Pyomo's own ``value`` walks it anew from every
place that mentions it, which takes minutes on a recursion of a few hundred weeks.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from bilevel.errors import ModelError
from bilevel.expressions.translation import Translator, evaluator
from bilevel.reading.components import called
from bilevel.reading.pieces import is_category
from bilevel.reading.problem import Problem

_VALUED = (pyo.Var, pyo.Param, pyo.Expression, pyo.Objective, pyo.Constraint)


class ValuesAt:
    """Reads components, by name or by themselves, and expressions, at one checked point.

    Parameters
    ----------
    problem : Problem
        Its model is the one that was solved; fixed variables and Params have the values they have now.
    upper, lower : dict
        The point, by component name; variables that nobody declared may be missing.
    """

    def __init__(self, problem: Problem, upper: dict[str, Any], lower: dict[str, Any]) -> None:
        self._model = problem.model
        self._words = {var.name: upper[var.name] for var in problem.variables if is_category(var)}
        known = {**upper, **lower}
        named = {key: name for key, name in problem.names.items() if name in known and name not in self._words}
        numbers = {key: known[name] for key, name in named.items()}
        self._evaluate: Translator = evaluator(numbers)

    def __call__(self, what: Any) -> Any:
        """A number, a word, or ``{index: value}`` of an indexed component.

        Raises
        ------
        ModelError
            If there is no such component, or it is none that has a value.
        """
        what = self._own(what)
        if hasattr(what, "is_indexed") and what.is_indexed():
            self._insist(what)
            return {index: self._value(member) for index, member in what.items()}
        return self._value(what)

    def _own(self, what: Any) -> Any:
        """The component of the model that was solved: by name, and where a clone's is asked for."""
        if isinstance(what, str):
            try:
                found = self._model.find_component(what)
            except Exception:  # no name at all: "", "x["
                found = None
            if found is None:
                raise ModelError(
                    f"{called(self._model)} has no component {what!r}; look at the names in model.pprint()"
                )
            return found
        named = hasattr(what, "parent_component") and what.model() is not self._model
        return self._own(what.name) if named else what

    def _insist(self, component: Any) -> None:
        kind = getattr(component, "ctype", None)
        if kind is not None and kind not in _VALUED:
            raise ModelError(
                f"{component.name} is a {kind.__name__}, which has no value; ask for a Var, Param, Expression,"
                " Objective or Constraint"
            )

    def _value(self, member: Any) -> Any:
        self._insist(member)
        kind = getattr(member, "ctype", None)
        if kind is pyo.Var and member.name in self._words:
            return self._words[member.name]
        if kind is pyo.Param:
            return pyo.value(member)
        try:
            value = self._evaluate(member.body if kind is pyo.Constraint else member)
        except ModelError:
            if kind is pyo.Var:  # nothing mentions it: a word, or nothing
                return member.value
            raise
        return value if isinstance(value, bool) else float(value)
