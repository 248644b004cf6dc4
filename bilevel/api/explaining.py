"""What a bilevel model is to this package, before anything is solved: levels, classes, proofs, pairs, rows.

``print(bilevel.explain(model))`` answers what one asks when a result surprises: which variables belong to whom, why a
lower level counts as convex, which engine answers, what stands in the single-level model and where each row came from.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from html import escape
from typing import Any

import pyomo.environ as pyo

from bilevel import registry
from bilevel.contracts.treatment import Treatment
from bilevel.convexity.examination import convexity_of
from bilevel.errors import BilevelError
from bilevel.files.single_level_files import UNTREATED
from bilevel.kkt.conditions import BLOCK
from bilevel.kkt.single_level import SingleLevel
from bilevel.kkt.transformation import DEFAULT_TREATMENT, KKTTransformation
from bilevel.programs.compilation import Compilation
from bilevel.reading.components import within
from bilevel.reading.pieces import is_category
from bilevel.reading.problem import Problem
from bilevel.reading.structure import linking_variables
from bilevel.response.answering import ranked_engines

SHOWN = 40
_PART = "complementarity"


class Words(str):
    """Text that a notebook shows as a table: a part a heading, what is said of it a row."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return f"<table>{''.join(map(_row, self.splitlines()))}</table>"


def _row(line: str) -> str:
    """A line as a row: a name and what it is, where two spaces or an arrow part them."""
    left, style = escape(line.strip()), ' style="text-align: left"'
    if not line.startswith(" "):
        return f'<tr><th colspan="2"{style}>{left or "&nbsp;"}</th></tr>'
    name, gap, rest = line.strip().partition("  ")
    if not gap:
        return f'<tr><td colspan="2"{style}>{left}</td></tr>'
    return f"<tr><td{style}>{escape(name)}</td><td{style}>{escape(rest.strip())}</td></tr>"


def explain(model: Any, complementarity: str = "auto", shown: int = SHOWN) -> str:
    """A model in words.

    Parameters
    ----------
    model : ConcreteModel
        Stays as it is.
    complementarity : str
        Treatment of the pairs in the single-level model; ``auto`` is ``sos1``, ``none`` lists the pairs untreated.
    shown : int
        How many pairs, and how many rows, are listed one by one.

    Returns
    -------
    str
        Several paragraphs.

    Examples
    --------
    >>> import bilevel
    >>> for line in bilevel.explain(bilevel.load_model("toy")).splitlines()[4:11]:
    ...     print(line)
    lower level lower: minimise lower.obj
      variables    1: 1 real   lower.y
      constraints  1, and the variables' bounds
      depends on   x
      class        QP for every x
      answered by  daqp (then highs, scip, ipopt, where it refuses)
      convexity    proved: lower is convex: by composition; its constraints are affine
    """
    problem = Problem.read(model)
    name = DEFAULT_TREATMENT if complementarity == "auto" else complementarity
    return Words("\n".join([*recognised(problem), "", *_single_level(problem, name, shown)]))


def recognised(model: Any) -> Iterator[str]:
    """What the levels are, the first half of :func:`explain`, line by line."""
    problem = Problem.read(model)
    yield f"upper level: {_sense(problem.sense)} {problem.objective.name}"
    yield f"  variables    {_kinds(problem.variables)}"
    coupling, alone = len(problem.coupling), len(problem.x_only)
    predicates = f", {len(problem.allowed)} predicates" if problem.allowed else ""
    yield f"  constraints  {alone} over x alone, {coupling} coupling (with some y){predicates}"
    compilation = Compilation.of(problem)
    convexity = convexity_of(problem, compilation)
    linking = linking_variables(problem.followers)
    for follower in problem.followers:
        yield ""
        if follower.objective is None:
            yield f"lower level {follower.name}: answered by a Python function"
            yield f"  variables    {_kinds(follower.variables)}"
            continue
        program, found = compilation.programs[follower.name], convexity[follower.name]
        written, tops = follower.written, len(program.tops)
        yield f"lower level {follower.name}: {_sense(follower.sense)} {follower.objective.name}"
        yield f"  variables    {_kinds(written.variables)}"
        yield f"  constraints  {len(written.constraints)}, and the variables' bounds"
        if tops:
            yield f"  epigraphs    {tops} convex piecewise-linear terms, each a variable with a row for every piece"
        yield f"  depends on   {_listed(linking[follower.name]) or 'nothing of the leader'}"
        yield f"  class        {program.describe()} for every x"
        engines = [name for _, name in ranked_engines(program)]
        then = f" (then {', '.join(engines[1:])}, where it refuses)" if engines[1:] else ""
        yield f"  answered by  {engines[0] if engines else 'no engine'}{then}"
        yield f"  convexity    {found.verdict}: {found.reason}"


def _single_level(problem: Problem, name: str, shown: int) -> Iterator[str]:
    large = Compilation.of(problem).large_losses
    if large:
        yield f"single-level model: none is made. {large[0]} is kept as arrays, which searches and upper_boxes take"
        return
    treatment = None if name == UNTREATED else name
    try:
        transformation = KKTTransformation()
        model = transformation.create_using(problem.model, lift=False, complementarity=treatment)
    except BilevelError as error:
        yield f"single-level model: there is none. {error}"
        return
    program = SingleLevel(model).program
    engines = [engine for _, engine in ranked_engines(program)]
    sets = f", {len(program.sos1)} special ordered sets" if program.sos1 else ""
    yield f"single-level model: {program.describe()} with {program.n} variables, {program.m} rows{sets}"
    yield f"  pairs treated by {name}: {_target(name)}"
    if name == DEFAULT_TREATMENT:
        yield f"  {name}_cut, which the kkt path takes by itself where it can, adds strong duality"
    yield f"  solved by {', else '.join(engines) or 'no engine of ours'}"
    yield ""
    yield f"complementarity pairs: {len(model.component(BLOCK).pairs)}"
    yield from _cut(_pairs(model), shown)
    yield ""
    rows = list(_rows(problem, model))
    yield f"rows, and where each came from: {', '.join(f'{n} {kind}' for kind, n in _kinds_of_rows(rows).items())}"
    yield from _cut((f"  {row}  <-  {kind}: {source}" for row, kind, source in rows), shown)


def _pairs(model: Any) -> Iterator[str]:
    bounds = getattr(model.component(_PART), "bounds", {}) if model.component(_PART) is not None else {}
    for pair in model.component(BLOCK).pairs:
        line = f"  {pair.source} {pair.side}: slack or multiplier is zero"
        proved = bounds.get((pair.source, pair.side))
        if proved is not None:
            line += f"; slack <= {proved.slack}, multiplier <= {proved.multiplier}"
        yield line


def _rows(problem: Problem, model: Any) -> Iterator[tuple[str, str, str]]:
    """Name, kind and source of every row of the single-level model."""
    block, treated = model.component(BLOCK), model.component(_PART)
    above = {c.name for c in problem.constraints}
    owner = {c.name: f.name for f in problem.followers for c in f.constraints}
    stationarity = {id(row): block.get_source(row).name for row in block.stationarity.values()}
    for row in model.component_data_objects(pyo.Constraint, active=True, descend_into=True):
        if id(row) in stationarity:
            yield row.name, "stationarity", f"no better answer by moving {stationarity[id(row)]}"
        elif row.name in above:
            yield row.name, "upper", "the leader's constraint"
        elif row.name in owner:
            yield row.name, "lower", f"constraint of {owner[row.name]}, kept"
        elif treated is not None and within(row, treated):
            yield row.name, "treatment", _words(row.index()) or "all pairs"
        else:
            yield row.name, "choice", "a list of values or a predicate of the leader, by binaries"


def _words(index: Any) -> str:
    if isinstance(index, tuple):
        return " ".join(str(part) for part in index)
    return "" if index is None else str(index)


def _kinds_of_rows(rows: list[tuple[str, str, str]]) -> Counter[str]:
    return Counter(kind for _, kind, _ in rows)


def _cut(lines: Iterator[str], shown: int) -> Iterator[str]:
    everything = list(lines)
    yield from everything[:shown]
    if len(everything) > shown:
        yield f"  ... and {len(everything) - shown} more (explain(model, shown=...) lists them)"


def _target(name: str) -> str:
    """What a treatment puts in the pairs' place, from its own docstring."""
    if name == UNTREATED:
        return "not at all, a relaxation"
    text = inspect.getdoc(registry.get(Treatment, name)) or ""
    _, _, after = text.partition("Target:")
    return " ".join(after.partition("Exact when:")[0].split()) or text.partition("\n")[0]


def _sense(sense: int) -> str:
    return "minimise" if sense > 0 else "maximise"


def _kinds(variables: Any) -> str:
    counts: Counter[str] = Counter()
    for var in variables:
        if is_category(var):
            counts["categories"] += 1
        elif var.is_continuous():
            counts["real"] += 1
        elif var.is_binary():
            counts["binary"] += 1
        else:
            counts["integer" if var.is_integer() else "of a list of values"] += 1
    total = f"{len(variables)}: " + ", ".join(f"{n} {kind}" for kind, n in counts.items())
    return f"{total}   {_listed([var.name for var in variables])}"


def _listed(names: list[str], most: int = 8) -> str:
    more = f", ... ({len(names) - most} more)" if len(names) > most else ""
    return ", ".join(names[:most]) + more
