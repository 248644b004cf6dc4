"""Linear programs on both levels. ``create_model(name=...)`` returns one; ``PROBLEMS`` holds them all.

An optimum of such a problem is attained at a vertex of {x, y : the rows of both levels} where no row of the leader's
mentions y (Bialas and Karwan 1984), and in any case at a vertex of one of the pieces on which it is settled, for
every lower row, whether the row or its multiplier is zero. "By pieces" below means that all of them were solved as
linear programs (by HiGHS through scipy, without this package), which proves the value; tests/literature does it
again.

Data: BASBLib 2.3 (Paulavicius and Adjiman 2019, doi 10.5281/zenodo.3266835, public domain), where its name is given.
"""

import pyomo.environ as pyo
from shelf import choose, levels, problem, rows

from bilevel import LowerLevel

PROBLEMS = {}


def create_model(name="anandalingam_white_1990"):
    return choose(PROBLEMS, name)


@problem(PROBLEMS, value=-49, x=16, y=11)
def anandalingam_white_1990():
    """One variable each, five lower rows.

    Source: Anandalingam and White (1990), IEEE Trans. Automatic Control 35, 1170-1173, example E1; BASBLib
        aw_1990_01.
    Best known: F = -49 at (16, 11), in the paper. Proof: by pieces.
    """
    m, x, y = levels((0, 50), (0, 50))
    m.lower.rows = rows(x + 2 * y >= 10, x - 2 * y <= 6, 2 * x - y <= 21, x + 2 * y <= 38, -x + 2 * y <= 18)
    m.lower.obj = pyo.Objective(expr=-x + 3 * y)
    m.obj = pyo.Objective(expr=-x - 3 * y)
    return m


@problem(PROBLEMS, value=28 / 9, x=8 / 9, y=20 / 9)
def bard_1984_1():
    """The follower maximises in effect: its row y <= 2 + x/4 decides.

    Source: Bard (1984), Naval Research Logistics Quarterly 31, 13-26, example 1; BASBLib b_1984_01.
    Best known: F = 28/9 at (8/9, 20/9). Proof: y = 2 + x/4 as long as that meets the rest, so F = 2 + 5x/4 grows with
        x, and x + y/2 >= 2 says x >= 8/9.
    """
    m, x, y = levels((0, 10), (0, 10))
    m.lower.rows = rows(x + 0.5 * y >= 2, -0.25 * x + y <= 2, x + 0.5 * y <= 8, x - 2 * y <= 2)
    m.lower.obj = pyo.Objective(expr=-5 * x - y)
    m.obj = pyo.Objective(expr=x + y)
    return m


@problem(PROBLEMS, value=-1, x=0, y=(0, 1), tags="several answers below, several optima")
def bard_1991_1():
    """For x <= 1/2 every y with y1 + y2 = 1 and both at most 1 - x is an answer: the tie is broken for the leader.

    Source: Bard (1991), J. Optimization Theory and Applications 68, 371-378, example 2.2; BASBLib b_1991_01.
    Best known: F = -1 at x = 0, y = (0, 1) and at x = 1, y = (0, 0). Proof: for x <= 1/2 the best answer is (x, 1 -
        x), so F = 10x - 1; for x in [1/2, 1] the only one is (1 - x, 1 - x), so F = 9 - 10x.
    """
    m, x, y = levels((0, 10), [(0, 10), (0, 10)])
    m.lower.rows = rows(x + y[1] <= 1, x + y[2] <= 1, y[1] + y[2] <= 1)
    m.lower.obj = pyo.Objective(expr=-y[1] - y[2])
    m.obj = pyo.Objective(expr=-x + 10 * y[1] - y[2])
    return m


@problem(PROBLEMS, value=-2, x=0, y=(0, 1), tags="several answers below")
def bard_1991_1_variant():
    """As bard_1991_1 with 2 y2 in F, which leaves one optimum.

    Source: BASBLib b_1991_01v.
    Best known: F = -2 at x = 0, y = (0, 1). Proof: F = 11x - 2 for x <= 1/2 and 8 - 9x from there to 1.
    """
    m, x, y = levels((0, 10), [(0, 10), (0, 10)])
    m.lower.rows = rows(x + y[1] <= 1, x + y[2] <= 1, y[1] + y[2] <= 1)
    m.lower.obj = pyo.Objective(expr=-y[1] - y[2])
    m.obj = pyo.Objective(expr=-x + 10 * y[1] - 2 * y[2])
    return m


@problem(PROBLEMS, value=-26, x=(0, 0.9), y=(0, 0.6, 0.4))
def bard_falk_1982_1():
    """Two variables above, three below.

    Source: Bard and Falk (1982), Computers and Operations Research 9, 77-100, example 1; BASBLib bf_1982_01.
    Best known: F = -26 at x = (0, 0.9), y = (0, 0.6, 0.4), in the paper. Proof: by pieces.
    """
    m, x, y = levels([(0, 10)] * 2, [(0, 10)] * 3)
    m.lower.rows = rows(
        -y[1] + y[2] + y[3] <= 1,
        2 * x[1] - y[1] + 2 * y[2] - 0.5 * y[3] <= 1,
        2 * x[2] + 2 * y[1] - y[2] - 0.5 * y[3] <= 1,
    )
    m.lower.obj = pyo.Objective(expr=x[1] + 2 * x[2] + y[1] + y[2] + 2 * y[3])
    m.obj = pyo.Objective(expr=-8 * x[1] - 4 * x[2] + 4 * y[1] - 40 * y[2] + 4 * y[3])
    return m


@problem(PROBLEMS, value=-3.25, x=(2, 0), y=(1.5, 0))
def bard_falk_1982_2():
    """A row over x alone stands among the follower's, which is the same as if it stood among the leader's.

    Source: Bard and Falk (1982), Computers and Operations Research 9, 77-100, example 2; BASBLib bf_1982_02.
    Best known: F = -3.25 at x = (2, 0), y = (1.5, 0), in the paper. Proof: by pieces.
    """
    m, x, y = levels([(0, 10)] * 2, [(0, 10)] * 2)
    m.lower.rows = rows(-2 * x[1] + y[1] - y[2] <= -2.5, x[1] - 3 * x[2] + y[2] <= 2, x[1] + x[2] <= 2)
    m.lower.obj = pyo.Objective(expr=x[1] + x[2] - 4 * y[1] + y[2])
    m.obj = pyo.Objective(expr=-2 * x[1] + x[2] + 0.5 * y[1])
    return m


@problem(PROBLEMS, value=-29.2, x=(0, 0.9), y=(0, 0.6, 0.4, 0, 0, 0), tags="equalities")
def candler_townsley_1982():
    """The rows of bard_falk_1982_1 as equalities with slacks of the follower's, and -4 y3 above.

    Source: Candler and Townsley (1982), Computers and Operations Research 9, 59-76, section 6; BASBLib ct_1982_01.
    Best known: F = -29.2 at x = (0, 0.9), y = (0, 0.6, 0.4, 0, 0, 0), in the paper. Proof: by pieces.
    """
    m, x, y = levels([(0, 10)] * 2, [(0, 10)] * 6)
    m.lower.rows = rows(
        -y[1] + y[2] + y[3] + y[4] == 1,
        2 * x[1] - y[1] + 2 * y[2] - 0.5 * y[3] + y[5] == 1,
        2 * x[2] + 2 * y[1] - y[2] - 0.5 * y[3] + y[6] == 1,
    )
    m.lower.obj = pyo.Objective(expr=x[1] + 2 * x[2] + y[1] + y[2] + 2 * y[3])
    m.obj = pyo.Objective(expr=-8 * x[1] - 4 * x[2] + 4 * y[1] - 40 * y[2] - 4 * y[3])
    return m


@problem(PROBLEMS, value=-37, x=19, y=14)
def clark_westerberg_1988():
    """The follower's answer has a kink, and F a local minimum at each end.

    Source: Clark and Westerberg (1988), Naval Research Logistics 35, 413-418; BASBLib cw_1988_01.
    Best known: F = -37 at (19, 14), in the paper. Proof: y = (2x + 4)/3 for x in [1, 19], so F = -(5x + 16)/3.
    """
    m, x, y = levels((0, 30), (0, 30))
    m.lower.rows = rows(-2 * x + y <= 0, 2 * x + 5 * y <= 108, 2 * x - 3 * y <= -4)
    m.lower.obj = pyo.Objective(expr=y)
    m.obj = pyo.Objective(expr=x - 4 * y)
    return m


@problem(PROBLEMS, value=-13, x=5, y=(4, 2), tags="several answers below, maximise below")
def clark_westerberg_1990_1():
    """The follower maximises y1 and does not care for y2, so that its answers are a segment.

    Source: Clark and Westerberg (1990), Computers and Chemical Engineering 14, 87-97, section 3.1; BASBLib
        cw_1990_01.
    Best known: F = -13 at x = 5, y = (4, 2), in the paper. Proof: by pieces.
    """
    m, x, y = levels((0, 8), [(0, 4), (0, 4)])
    m.lower.rows = rows(
        -2 * x + y[1] + 4 * y[2] <= 16, 8 * x + 3 * y[1] - 2 * y[2] <= 48, -2 * x + y[1] - 3 * y[2] <= -12
    )
    m.lower.obj = pyo.Objective(expr=y[1], sense=pyo.maximize)
    m.obj = pyo.Objective(expr=-x - 3 * y[1] + 2 * y[2])
    return m


@problem(PROBLEMS, value=-16, x=4, y=4)
def liu_hart_1994():
    """The optimum is a vertex that no simplex path over the follower's bases reaches from the high point.

    Source: Liu and Hart (1994), European J. Operational Research 73, 164-166; BASBLib lh_1994_01.
    Best known: F = -16 at (4, 4), in the paper. Proof: y = max(0, 4x - 12), for x <= 4 (then x + 2y <= 12 binds), so
    F = -x up to 3 and 36 - 13x from there on.
    """
    m, x, y = levels((0, 10), (0, 10))
    m.lower.rows = rows(-x + y <= 3, x + 2 * y <= 12, 4 * x - y <= 12)
    m.lower.obj = pyo.Objective(expr=y)
    m.obj = pyo.Objective(expr=-x - 3 * y)
    return m


@problem(PROBLEMS, value=-14.6, x=(0, 0.65), y=(0, 0.3, 0), tags="coupling")
def savard_1989():
    """A row of the leader's mentions y: the best point is a vertex of a piece and not of the region.

    Source: Savard (1989), thesis, Ecole Polytechnique de Montreal; BASBLib s_1989_01, which states F = -14.6.
    Best known: F = -14.6 at x = (0, 0.65), y = (0, 0.3, 0). Proof: by pieces.
    """
    m, x, y = levels([(0, 10)] * 2, [(0, 10)] * 3)
    m.coupling = pyo.Constraint(expr=x[1] + 2 * x[2] - y[3] <= 1.3)
    m.lower.rows = rows(
        -y[1] + y[2] + y[3] <= 1,
        4 * x[1] - 2 * y[1] + 4 * y[2] - y[3] <= 2,
        4 * x[2] + 4 * y[1] - 2 * y[2] - y[3] <= 2,
    )
    m.lower.obj = pyo.Objective(expr=2 * y[1] + y[2] + 2 * y[3])
    m.obj = pyo.Objective(expr=-8 * x[1] - 4 * x[2] + 4 * y[1] - 40 * y[2] + 4 * y[3])
    return m


@problem(PROBLEMS, value=0, x=0, y=0)
def allende_still_2013():
    """The follower's optimality conditions hold at one point for a whole face of multipliers.

    Source: Allende and Still (2013), Mathematical Programming 138, 309-332, example 3.1; BASBLib as_2013_01.
    Best known: F = 0 at (0, 0), in the paper. Proof: the answer is y = x, which y <= 0 and x <= y keep at x <= 0, so
        F = -2x.
    """
    m, x, y = levels((-10, 10), (-10, 10))
    m.lower.rows = rows(x - y <= 0, y <= 0)
    m.lower.obj = pyo.Objective(expr=y)
    m.obj = pyo.Objective(expr=-x - y)
    return m


@problem(PROBLEMS, value=1, y=1, tags="no upper variable")
def mitsos_barton_2007_01():
    """No upper variable at all: F is what the follower makes it.

    Source: Mitsos and Barton (2007), "A Test Set for Bilevel Programs", example 3.1; BASBLib mb_2007_01.
    Best known: F = 1 at y = 1. Proof: the only answer.
    """
    m, _, y = levels(None, (-1, 1))
    m.lower.obj = pyo.Objective(expr=-y)
    m.obj = pyo.Objective(expr=y)
    return m


@problem(PROBLEMS, value=22, x=6, y=8, tags="maximise above, maximise below")
def mersha_dempe_2006_moved():
    """models/coupling.py with the leader's rows handed to the follower: another problem, with a better optimum.

    Source: Mersha and Dempe (2006), Applied Mathematics and Computation 180, 247-254, doi 10.1016/j.amc.2005.11.134.
    Best known: F = 22 at (6, 8), in the paper. Proof: y is the least of 3x - 3, 30 - 3x, (2x + 12)/3 and 14 - x; x +
        2y rises along the first and third up to x = 6, and falls along 14 - x from there.
    """
    m, x, y = levels((0, 10), (0, None))
    m.lower.rows = rows(y <= 3 * x - 3, y <= 30 - 3 * x, 2 * x - 3 * y >= -12, x + y <= 14)
    m.lower.obj = pyo.Objective(expr=y, sense=pyo.maximize)
    m.obj = pyo.Objective(expr=x + 2 * y, sense=pyo.maximize)
    return m


@problem(PROBLEMS, value=2.5, x=1, y=(0, 1), tags="maximise above, maximise below")
def ben_ayed_blair_1990():
    """The example on which two early algorithms stop at a point that is not optimal.

    Source: Ben-Ayed and Blair (1990), "Computational difficulties of bilevel linear programming", Operations Research
        38, 556-560, doi 10.1287/opre.38.3.556.
    Best known: F = 2.5 at x = 1, y = (0, 1), in the paper. Proof: the follower takes y = (0, (5 - 2x)/3), so F = 5/3
        + 5x/6; the other vertices (the crossing of the rows and (min, 0)) are worse for it at every x in [0, 1]. And
        by pieces.
    """
    m, x, y = levels((0, 1), [(0, None), (0, None)])
    m.lower.rows = rows(x + 3 * y[1] + y[2] <= 5, 2 * x + y[1] + 3 * y[2] <= 5)
    m.lower.obj = pyo.Objective(expr=y[1] + 5 * y[2], sense=pyo.maximize)
    m.obj = pyo.Objective(expr=1.5 * x + 6 * y[1] + y[2], sense=pyo.maximize)
    return m


@problem(PROBLEMS, value=-1.7, x=(0.8, 0), y=(-0.1, 0.9), tags="coupling, ranges, free variables, equalities")
def ranges_and_free_variables():
    """Rows with two sides, an equality and no bound on any y: every sign a multiplier can have.

    Source: written for this shelf.
    Best known: F = -1.7 at x = (0.8, 0), y = (-0.1, 0.9). Proof: with y1 + y2 = x1 + x2 the least y1 has y1 - y2 =
        -1, hence y2 = (x1 + x2 + 1)/2 and F = (x2 - 3 x1 - 1)/2; the leader's range y2 <= 0.9 says x1 + x2 <= 0.8.
        And by pieces.
    """
    m, x, y = levels([(0, 1), (0, 1)], [(None, None), (None, None)])
    m.lower.total = pyo.Constraint(expr=y[1] + y[2] == x[1] + x[2])
    m.lower.band = pyo.Constraint(expr=(-1, y[1] - y[2], 2))
    m.lower.obj = pyo.Objective(expr=y[1])
    m.coupling = pyo.Constraint(expr=(0.5, y[2], 0.9))
    m.obj = pyo.Objective(expr=y[1] - 2 * x[1])
    return m


@problem(
    PROBLEMS,
    value=4,
    upper={"x": 1},
    lower={"lower[1].y": 0, "lower[2].y": 3, "lower[3].y": 1},
    tags="several followers, several optima, maximise below",
)
def three_followers():
    """An indexed lower level: three followers who see the same x and not each other.

    Source: written for this shelf.
    Best known: F = 4 at x = 1. Proof: the answers are y1 = max(0, x - 1), y2 = 4 - x (maximising) and y3 = |x - 2|,
        so F = 2 y1 + y2 + y3 is 6 - 2x up to 1, 4 on [1, 2] and 2x from there on: every x in [1, 2] is optimal.
    """
    m, x, _ = levels((0, 4), (0, 0))
    m.del_component(m.lower)

    def follower(block, k):
        block.y = pyo.Var(bounds=(0, 10))
        block.rows = rows(*{1: [block.y >= x - 1], 2: [block.y + x <= 4], 3: [block.y >= x - 2, block.y >= 2 - x]}[k])
        block.obj = pyo.Objective(expr=block.y, sense=pyo.maximize if k == 2 else pyo.minimize)

    m.lower = LowerLevel([1, 2, 3], rule=follower)
    m.obj = pyo.Objective(expr=2 * m.lower[1].y + m.lower[2].y + m.lower[3].y)
    return m


@problem(PROBLEMS, value=-37, x=(0, 0, 0, 19), y=14, tags="redundant rows, several optima")
def redundant_rows():
    """clark_westerberg_1988 with x spread over four variables and every row twice, one of them scaled by 1000.

    Source: written for this shelf, after BASBLib cw_1988_01. Redundant rows make the multipliers not unique.
    Best known: F = -37 wherever x1 + ... + x4 = 19, at y = 14. Proof: as there.
    """
    m, x, y = levels([(0, 30)] * 4, (0, 30))
    total = x[1] + x[2] + x[3] + x[4]
    m.lower.rows = rows(-2 * total + y <= 0, 2 * total + 5 * y <= 108, 2 * total - 3 * y <= -4)
    m.lower.again = rows(
        -2000 * total + 1000 * y <= 0, 2000 * total + 5000 * y <= 108000, 2000 * total - 3000 * y <= -4000
    )
    m.lower.obj = pyo.Objective(expr=y)
    m.obj = pyo.Objective(expr=total - 4 * y)
    return m
