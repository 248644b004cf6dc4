"""The shelf: every method that the texts on hyperparameter optimization describe, by its name there.

Each row says what it needs, when not to take it and how it is called here; when to take it is what the part's own
docstring says, or a line here where several rows are one part. ``write_pages.py`` draws ``docs/shelf.md`` from them,
and a test solves a problem of known answer by each command.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One method of the texts.

    Attributes
    ----------
    name : str
        As the texts have it, with who brought it up.
    command : str
        What to add to ``python -m bilevel.solve model.py``.
    needs : str
        What it goes by.
    not_when : str
        What speaks against it, and what to take instead.
    when : str
        When to take it; empty where the part says so itself.
    kind : str
        Of the problem that a test solves by it: values, gradient, kkt, front, reports or states.
    """

    name: str
    command: str
    needs: str
    not_when: str
    when: str = ""
    kind: str = "values"


ROWS = (
    Row(
        "Manual",
        "--method random --budget 1 --try mine.json",
        "points that you name",
        "you want more than a point you thought of; leave --budget larger and the search goes on from yours",
        "when somebody knows a good point: it is tried first, and whatever the method finds is no worse",
    ),
    Row(
        "Grid search",
        "--method grid",
        "few variables of few values",
        "a variable is continuous or there are more than three: `surrogate`, or `random` as a baseline",
    ),
    Row(
        "Random search (Bergstra and Bengio 2012)",
        "--method random",
        "nothing",
        "evaluations are dear: `surrogate` learns from each",
    ),
    Row(
        "Sobol and other quasi-random sequences",
        "--method random --option sampling=sobol",
        "nothing",
        "there are mainly categories, or fewer points than variables: `random`",
        "when random points would leave gaps: up to some ten variables, all points at once on many workers",
    ),
    Row(
        "Bayesian optimization, expected improvement (Jones et al. 1998)",
        "--method gp",
        "dear evaluations, up to some 300",
        "an evaluation takes a millisecond, or there are thousands: `gradient`, `rbf` or `de`",
    ),
    Row(
        "Bayesian optimization, probability of improvement (Kushner 1964)",
        "--method gp --option acquisition=pi",
        "dear evaluations, up to some 300",
        "the region of the best is not known yet, for it stays where it is: expected improvement",
        "when a point a little better than the best will do, and soon",
    ),
    Row(
        "Bayesian optimization, confidence bounds (UCB; Cox and John 1992)",
        "--method gp --option acquisition=ucb",
        "dear evaluations, up to some 300",
        "evaluations are few: it looks at what it does not know for long",
        "when the best may hide anywhere and there is time to look",
    ),
    Row(
        "Radial basis functions (Regis and Shoemaker 2013)",
        "--method rbf",
        "evaluations of some milliseconds",
        "evaluations are dear: `gp` or `surrogate` need fewer of them",
    ),
    Row(
        "Both in turn, the default",
        "--method surrogate",
        "dear evaluations",
        "evaluations are cheap and F is smooth: `gradient`",
    ),
    Row(
        "Tree-structured Parzen estimator (TPE; Bergstra et al. 2011)",
        "--method optuna:tpe",
        "values only; conditions and categories are welcome",
        "there are fewer than a hundred evaluations: `surrogate`",
        "when there are hundreds of evaluations, many categories, or results to compare with Optuna's",
    ),
    Row(
        "CMA-ES (Hansen and Ostermeier 2001)",
        "--method optuna:cmaes",
        "real variables, hundreds of cheap evaluations; the package `cmaes` (extra `search`)",
        "there are categories, or F has a gradient: `gradient`",
        "when F is continuous and badly scaled or rotated, and has no gradient",
    ),
    Row(
        "Genetic algorithm",
        "--method optuna:nsga2",
        "values only, hundreds of cheap evaluations",
        "variables are mostly real: `de` or `optuna:cmaes`",
        "when variables are mostly categories and what is good in two points may be put together",
    ),
    Row(
        "Differential evolution (Storn and Price 1997)",
        "--method de",
        "values only, hundreds of cheap evaluations",
        "evaluations are dear: `surrogate`",
    ),
    Row(
        "Particle swarm (Kennedy and Eberhart 1995)",
        "--method pso",
        "values only, hundreds of cheap evaluations",
        "there are mainly categories, which have no direction: `optuna:nsga2`",
    ),
    Row(
        "NSGA-II, for several objectives (Deb et al. 2002)",
        "--method optuna:nsga2",
        "two or more upper Objectives, hundreds of cheap evaluations",
        "evaluations are dear: `gp`; a proof is wanted: an exact method, `auto`",
        "when a whole front is wanted of cheap evaluations",
        kind="front",
    ),
    Row(
        "Successive halving (Jamieson and Talwalkar 2016)",
        "--method random --pruner halving",
        "reports on the way, `f(x, trial)`, or a `fidelity`",
        "slow starters win in the end: `hyperband`",
        kind="reports",
    ),
    Row(
        "Hyperband (Li et al. 2018)",
        "--method random --pruner hyperband",
        "reports on the way, `f(x, trial)`, or a `fidelity`",
        "a bad point shows at once: `halving` stops more of them",
        kind="reports",
    ),
    Row(
        "ASHA (Li et al. 2020)",
        "--method random --pruner asha --workers 4",
        "reports on the way, and several workers",
        "one process evaluates: it is `halving` then",
        "when workers must not wait for each other at the end of a rung",
        kind="reports",
    ),
    Row(
        "BOHB, model-based Hyperband (Falkner et al. 2018)",
        "--method surrogate --pruner hyperband",
        "reports on the way, `f(x, trial)`, or a `fidelity`",
        "asking costs more than training: `random` with the same pruner; BOHB's own model is `optuna:tpe`",
        "when training is dear, and both a model of F and early stops are to be had",
        kind="reports",
    ),
    Row(
        "Population-based training (Jaderberg et al. 2017)",
        "--method pbt",
        "a function that goes on from a state, `f(x, state, steps)`, declared with `steps=`",
        "one x is wanted for a training from the beginning: any search with a pruner",
        kind="states",
    ),
    Row(
        "Gradient, hypergradient (Pedregosa 2016)",
        "--method gradient",
        "smooth levels and real variables",
        "the follower is a function, or integers decide: `surrogate`",
        kind="gradient",
    ),
    Row(
        "Optimality conditions (KKT), global",
        "--method kkt",
        "a convex lower level, not too large",
        "the lower level is a function, has integers or 100,000 rows: a search",
        kind="kkt",
    ),
)
