"""Integers below (or above). Each value is proved by listing, which tests/literature repeats.

``create_model(name=...)`` returns one problem, ``PROBLEMS`` holds them all; models/moore_bard.py is the classic of
the kind. Relaxed, an integer follower says nothing about the integer one: its optimum is neither a bound nor
feasible.
"""

import pyomo.environ as pyo
from shelf import choose, levels, problem, rows

from bilevel import LowerLevel

PROBLEMS = {}


def create_model(name="knapsack_interdiction"):
    return choose(PROBLEMS, name)


@problem(
    PROBLEMS,
    value=28,
    x=(1, 0, 0, 1, 0, 1, 0),
    y=(0, 1, 0, 0, 1, 0, 1),
    tags="integer below, maximise below, integer above",
)
def knapsack_interdiction():
    """The leader takes items off the shelf so that the follower's knapsack is worth least.

    Source: the problem is that of Caprara, Carvalho, Lodi and Woeginger (2016), INFORMS J. Computing 28, 319-333, doi
    10.1287/ijoc.2015.0676; the seven items are this shelf's.
    Best known: F = 28. Proof: the 128 choices of the leader times those of the follower, listed.
    """
    profit, weight, cost = (12, 9, 14, 7, 11, 5, 8), (5, 4, 7, 3, 5, 2, 4), (4, 3, 5, 2, 4, 1, 3)
    m, x, y = levels([(0, 1)] * 7, [(0, 1)] * 7, pyo.Binary, pyo.Binary)
    m.budget = pyo.Constraint(expr=sum(cost[k - 1] * x[k] for k in x) <= 8)
    m.lower.capacity = pyo.Constraint(expr=sum(weight[k - 1] * y[k] for k in y) <= 14)
    m.lower.free = pyo.Constraint(y.index_set(), rule=lambda _, k: y[k] <= 1 - x[k])
    m.lower.obj = pyo.Objective(expr=sum(profit[k - 1] * y[k] for k in y), sense=pyo.maximize)
    m.obj = pyo.Objective(expr=sum(profit[k - 1] * y[k] for k in y))
    return m


@problem(PROBLEMS, value=-3, x=1.5, y=3, tags="integer below")
def real_leader_integer_follower():
    """A real x with an integer answer y = floor(2x): F jumps, and the optimum is the left end of a step.

    Source: written for this shelf.
    Best known: F = -3 at (1.5, 3). Proof: on the step y = k, which starts at x = k/2, F = 2x - 2k is least at
    the start, with -k, and k <= 3.
    """
    m, x, y = levels((0, 4), (0, 3), y_within=pyo.Integers)
    m.lower.rows = rows(y <= 2 * x)
    m.lower.obj = pyo.Objective(expr=-y)
    m.obj = pyo.Objective(expr=2 * x - 2 * y)
    return m


@problem(PROBLEMS, value=-11, x=3, y=(1, 4), tags="integer below, coupling, integer above")
def mixed_follower():
    """One integer and one real variable below, and a row of the leader's over the integer.

    Source: written for this shelf.
    Best known: F = -11 at x = 3, y = (1, 4). Proof: by listing x.
    """
    m, x, y = levels((0, 6), [(0, 4), (0, 10)], pyo.Integers)
    y[1].domain = pyo.Integers
    m.lower.rows = rows(2 * y[1] + y[2] >= x, y[2] <= x + 1, 3 * y[1] + 2 * y[2] <= 2 * x + 5)
    m.lower.obj = pyo.Objective(expr=5 * y[1] + (y[2] - 4) ** 2 - 2 * x * y[1])
    m.coupling = pyo.Constraint(expr=y[1] + x <= 7)
    m.obj = pyo.Objective(expr=x - 2 * y[1] - 3 * y[2])
    return m


@problem(
    PROBLEMS,
    value=16,
    x=(0, 3),
    y=(4, 1),
    tags="integer above, integer below, nonconvex below, maximise above, several answers below",
)
def products_of_integers():
    """A product of the follower's integers, which is not convex, with ties that go to the leader.

    Source: written for this shelf.
    Best known: F = 16 at x = (0, 3), y = (4, 1). Proof: by listing.
    """
    m, x, y = levels([(0, 3)] * 2, [(0, 4)] * 2, pyo.Integers, pyo.Integers)
    m.lower.rows = rows(y[1] + y[2] <= 5, y[1] + 2 * y[2] >= x[1])
    m.lower.obj = pyo.Objective(expr=-y[1] * y[2] + x[1] * y[1] + x[2] * y[2])
    m.obj = pyo.Objective(expr=3 * y[1] - 2 * y[2] - x[1] + 2 * x[2], sense=pyo.maximize)
    return m


@problem(
    PROBLEMS,
    value=2,
    x=(2, 0),
    y=(1, 0, 0, 1),
    tags="integer below, equalities, integer above, maximise above, several optima",
)
def assignment_with_prices():
    """The leader prices two cells of a two by two assignment, whose integer optimum is a vertex anyway.

    Source: written for this shelf.
    Best known: F = 2, wherever x1 + x2 = 2. Proof: y1 = y4 = 1 costs 4 + x1 + x2 and earns x1 + x2, the other
        assignment costs 6.
    """
    m, x, y = levels([(0, 5)] * 2, [(0, 1)] * 4, pyo.Integers, pyo.Binary)
    m.lower.rows = rows(y[1] + y[2] == 1, y[3] + y[4] == 1, y[1] + y[3] == 1, y[2] + y[4] == 1)
    m.lower.obj = pyo.Objective(expr=(3 + x[1]) * y[1] + 4 * y[2] + 2 * y[3] + (1 + x[2]) * y[4])
    m.obj = pyo.Objective(expr=x[1] * y[1] + x[2] * y[4], sense=pyo.maximize)
    return m


@problem(
    PROBLEMS,
    value=-0.64,
    upper={"x": 2},
    lower={"lower[1].y": 2, "lower[2].y": 1},
    tags="integer below, several followers, maximise below",
)
def two_integer_followers():
    """Two integer followers with opposite wishes, and a real x.

    Source: written for this shelf.
    Best known: F = -0.64 at x = 2. Proof: y1 = floor(x) and y2 = ceil(3 - x), so F = (x - 1.4)^2 - y1 + y2 on steps
        of length 1.
    """
    m, x, _ = levels((0, 3), (0, 0))
    m.del_component(m.lower)

    def follower(block, k):
        block.y = pyo.Var(within=pyo.Integers, bounds=(0, 3))
        block.row = pyo.Constraint(expr=block.y <= x if k == 1 else block.y >= 3 - x)
        block.obj = pyo.Objective(expr=block.y, sense=pyo.maximize if k == 1 else pyo.minimize)

    m.lower = LowerLevel([1, 2], rule=follower)
    m.obj = pyo.Objective(expr=(x - 1.4) ** 2 - m.lower[1].y + m.lower[2].y)
    return m
