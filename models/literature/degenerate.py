"""Where there is no optimum, or where a careless method believes in one: infeasible, unbounded, unattained, barely
attained.

``create_model(name=...)`` returns one problem, ``PROBLEMS`` holds them all. ``status`` says what is true. An optimum
that is not attained has an infimum in ``value`` (any F within the tolerance of it is as good as there is).
"""

import pyomo.environ as pyo
from shelf import choose, levels, problem, rows

PROBLEMS = {}


def create_model(name="mitsos_barton_2007_02"):
    return choose(PROBLEMS, name)


@problem(PROBLEMS, status="infeasible", tags="no upper variable, coupling")
def mitsos_barton_2007_02():
    """The follower's only answer breaks the leader's row.

    Source: Mitsos and Barton (2007), "A Test Set for Bilevel Programs", example 3.2; BASBLib mb_2007_02.
    Best known: infeasible. Proof: the answer is y = 1.
    """
    m, _, y = levels(None, (-1, 1))
    m.low = pyo.Constraint(expr=y <= 0)
    m.lower.obj = pyo.Objective(expr=-y)
    m.obj = pyo.Objective(expr=y)
    return m


@problem(PROBLEMS, status="infeasible", tags="coupling")
def answers_forbidden():
    """For every x the answer y = x/2 + 1 breaks a row that other feasible y would meet: the high point is feasible.

    Source: written for this shelf.
    Best known: infeasible. Proof: x <= y - 2 would say x/2 <= -1.
    """
    m, x, y = levels((0, 4), (0, 10))
    m.coupling = pyo.Constraint(expr=x <= y - 2)
    m.lower.rows = rows(2 * y >= x + 2)
    m.lower.obj = pyo.Objective(expr=y)
    m.obj = pyo.Objective(expr=x + y)
    return m


@problem(PROBLEMS, status="infeasible", tags="quadratic below, coupling, maximise above")
def answers_forbidden_quadratic():
    """The same with a quadratic follower, whose answer y = x^+ keeps y <= x - 1/10 out of reach.

    Source: written for this shelf.
    Best known: infeasible. Proof: y = max(0, x).
    """
    m, x, y = levels((-2, 2), (0, None))
    m.coupling = pyo.Constraint(expr=y <= x - 0.1)
    m.lower.obj = pyo.Objective(expr=(y - x) ** 2)
    m.obj = pyo.Objective(expr=x + y, sense=pyo.maximize)
    return m


@problem(PROBLEMS, status="infeasible", tags="no lower point")
def follower_without_a_point():
    """No x leaves the follower a feasible y.

    Source: written for this shelf.
    Best known: infeasible. Proof: x + 5 <= y <= x + 4.
    """
    m, x, y = levels((0, 4), (None, None))
    m.lower.rows = rows(y >= x + 5, y <= x + 4)
    m.lower.obj = pyo.Objective(expr=y)
    m.obj = pyo.Objective(expr=x - y)
    return m


@problem(PROBLEMS, status="infeasible", tags="unbounded below")
def follower_without_an_answer():
    """Every x leaves the follower unbounded: it has feasible points and no answer.

    Source: written for this shelf.
    Best known: infeasible. Proof: y may grow for ever, and f falls.
    """
    m, x, y = levels((1, 4), (0, None))
    m.lower.rows = rows(y >= x)
    m.lower.obj = pyo.Objective(expr=-x * y)
    m.obj = pyo.Objective(expr=x + y)
    return m


@problem(PROBLEMS, value=0, x=0, y=0, tags="unbounded below, answer jumps")
def bounded_on_one_side():
    """The follower is unbounded for x > 0, answers 0 for x < 0, and does not care at 0: the leader wants x as large
    as may be.

    Source: written for this shelf.
    Best known: F = 0 at (0, 0). Proof: x > 0 has no answer; F = -x + y >= 0 for x <= 0.
    """
    m, x, y = levels((-1, 1), (0, None))
    m.lower.obj = pyo.Objective(expr=-x * y)
    m.obj = pyo.Objective(expr=-x + y)
    return m


@problem(PROBLEMS, status="unbounded")
def leader_runs_away():
    """The answer y = x/2 follows a leader who gains for ever.

    Source: written for this shelf.
    Best known: unbounded. Proof: F = -x + y = -x/2, x >= 0.
    """
    m, x, y = levels((0, None), (None, None))
    m.lower.obj = pyo.Objective(expr=(2 * y - x) ** 2)
    m.obj = pyo.Objective(expr=-x + y)
    return m


@problem(PROBLEMS, status="unbounded", tags="maximise above, maximise below")
def leader_runs_away_linear():
    """As leader_runs_away with linear levels that maximise.

    Source: written for this shelf.
    Best known: unbounded. Proof: y = 2x + 1, F = 3y - x = 5x + 3.
    """
    m, x, y = levels((0, None), (0, None))
    m.lower.rows = rows(y <= 2 * x + 1)
    m.lower.obj = pyo.Objective(expr=y, sense=pyo.maximize)
    m.obj = pyo.Objective(expr=3 * y - x, sense=pyo.maximize)
    return m


@problem(PROBLEMS, status="unbounded", tags="several answers below")
def unbounded_by_a_tie():
    """The follower does not care for y2, and the leader would have it as large as may be.

    Source: written for this shelf.
    Best known: unbounded. Proof: y = (x, t) is an answer for every t >= 0, and F = x - t.
    """
    m, x, y = levels((0, 1), [(0, None)] * 2)
    m.lower.rows = rows(y[1] >= x)
    m.lower.obj = pyo.Objective(expr=y[1])
    m.obj = pyo.Objective(expr=x - y[2])
    return m


@problem(PROBLEMS, value=-2, x=2, y=2, tags="unbounded high point, free variables")
def high_point_unbounded():
    """Without the follower's optimality F has no bound; with it, y = x.

    Source: written for this shelf; Xu and Wang (2014), Computers and Operations Research 41, 309-318, doi
    10.1016/j.cor.2013.07.016, discuss the trap.
    Best known: F = -2 at (2, 2). Proof: F = -y = -x.
    """
    m, x, y = levels((0, 2), (None, None))
    m.lower.rows = rows(y >= x)
    m.lower.obj = pyo.Objective(expr=y)
    m.obj = pyo.Objective(expr=-y)
    return m


@problem(PROBLEMS, value=0, status="unattained", tags="products in rows, answer jumps")
def unattained_by_a_row():
    """For x > 0 the row x y <= 0 holds y at 0; at x = 0 it lets go and the follower takes y = 1.

    Source: written for this shelf.
    Best known: the infimum 0 is not attained. Proof: F = x for x > 0, F = 1 at x = 0.
    """
    m, x, y = levels((0, 1), (0, 1))
    m.lower.rows = rows(x * y <= 0)
    m.lower.obj = pyo.Objective(expr=-y)
    m.obj = pyo.Objective(expr=x + y)
    return m


@problem(PROBLEMS, value=-1, status="unattained", tags="integer below")
def unattained_by_an_integer():
    """y = ceil(x) jumps to 1 as soon as x leaves 0, and F = x - y wants to be just behind the jump.

    Source: the classic of the kind; Moore and Bard (1990), Operations Research 38, 911-921; Koeppe, Queyranne and
        Ryan (2010), J. Optimization Theory and Applications 146, 137-150, doi 10.1007/s10957-010-9668-3.
    Best known: the infimum -1 is not attained. Proof: F = x - 1 for x > 0, F = 0 at x = 0.
    """
    m, x, y = levels((0, 1), (0, 2), y_within=pyo.Integers)
    m.lower.rows = rows(y >= x)
    m.lower.obj = pyo.Objective(expr=y)
    m.obj = pyo.Objective(expr=x - y)
    return m


@problem(PROBLEMS, value=3, x=0.5, y=(0, 1), tags="several answers below, coupling")
def tie_broken_within_the_rows():
    """Of the follower's many answers the leader may only hope for those that meet its own row.

    Source: written for this shelf.
    Best known: F = 3 at x = 1/2, y = (0, 1). Proof: y1 + y2 = 1 is all the follower asks, so F = 3 + (x - 1/2)^2 + y1
        with y1 >= 0; y1 = 1 is ruled out by the row y1 <= x/2.
    """
    m, x, y = levels((0, 1), [(0, None)] * 2)
    m.coupling = pyo.Constraint(expr=y[1] <= 0.5 * x)
    m.lower.rows = rows(y[1] + y[2] >= 1)
    m.lower.obj = pyo.Objective(expr=y[1] + y[2])
    m.obj = pyo.Objective(expr=3 + (x - 0.5) ** 2 + y[1])
    return m


@problem(PROBLEMS, value=-10.01, x=10, y=0.01, tags="large multipliers")
def large_multiplier():
    """The multiplier at the optimum is a million: a big-M of 1e4 or 1e5 cuts the optimum off.

    Source: written for this shelf; the trap is that of Pineda and Morales (2019), IEEE Trans. Power Systems 34,
        2469-2471.
    Best known: F = -10.01 at (10, 0.01). Proof: y = x/1000, so F = -1.001 x.
    """
    m, x, y = levels((0, 10), (0, 10))
    m.lower.rows = rows(0.001 * x - y <= 0)
    m.lower.obj = pyo.Objective(expr=1e6 * y)
    m.obj = pyo.Objective(expr=-x - y)
    return m
