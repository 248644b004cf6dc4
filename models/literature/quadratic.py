"""Convex quadratic lower levels with linear rows (or lower levels linear in y whose coefficients depend on x).

The optimality conditions hold at every answer and only there, so that on each piece (for every row it is settled
whether the row or its multiplier is zero) the rest is a program with linear rows. "By pieces" below means that all
were solved without this package: by HiGHS for a linear F, by SLSQP from many starts for a quadratic one, convex
unless said otherwise; tests/literature does it again. ``create_model(name=...)`` returns one problem, ``PROBLEMS``
holds them all.

Data: BASBLib 2.3 (Paulavicius and Adjiman 2019, doi 10.5281/zenodo.3266835, public domain), where its name is given.
"""

import pyomo.environ as pyo
from shelf import choose, levels, problem, rows

PROBLEMS = {}


def create_model(name="shimizu_aiyoshi_1981_1"):
    return choose(PROBLEMS, name)


@problem(PROBLEMS, value=0, x=(0, 30), y=(-10, 10), tags="coupling, several optima")
def aiyoshi_shimizu_1984():
    """A linear F with two optima, and a row of the leader's that mentions y.

    Source: Aiyoshi and Shimizu (1984), IEEE Trans. Automatic Control 29, 1111-1114, example 2; BASBLib as_1984_01.
        Elsewhere F = 5 at x = (25, 30), y = (5, 10) is given, which is a local optimum.
    Best known: F = 0 at x = (0, 30), y = (-10, 10) and at x = (0, 0), y = (-10, -10). Proof: by pieces.
    """
    m, x, y = levels([(0, 50)] * 2, [(-10, 20)] * 2)
    m.coupling = pyo.Constraint(expr=x[1] + x[2] + y[1] - 2 * y[2] <= 40)
    m.lower.rows = rows(-x[1] + 2 * y[1] <= -10, -x[2] + 2 * y[2] <= -10)
    m.lower.obj = pyo.Objective(expr=(y[1] - x[1] + 20) ** 2 + (y[2] - x[2] + 20) ** 2)
    m.obj = pyo.Objective(expr=2 * x[1] + 2 * x[2] - 3 * y[1] - 3 * y[2] - 60)
    return m


@problem(PROBLEMS, value=-6600, x=(7, 3, 12, 18), y=(0, 10, 30, 0), tags="several optima")
def aiyoshi_shimizu_1981():
    """A plant and two shops: four variables on each level.

    Source: Aiyoshi and Shimizu (1981), IEEE Trans. Systems, Man and Cybernetics 11, 444-449; BASBLib as_1981_01
        (whose header repeats the optimum of another problem).
    Best known: F = -6600 at x = (7, 3, 12, 18), y = (0, 10, 30, 0). Proof: by pieces. Published decimals such as
        -6599.9 are rounded.
    """
    top_x, top_y = (10, 5, 15, 20), (20, 20, 40, 40)
    m, x, y = levels([(0, b) for b in top_x], [(0, b) for b in top_y])
    m.budget = pyo.Constraint(expr=x[1] + x[2] + x[3] + x[4] <= 40)
    m.lower.rows = rows(
        0.4 * y[1] + 0.7 * y[2] <= x[1],
        0.6 * y[1] + 0.3 * y[2] <= x[2],
        0.4 * y[3] + 0.7 * y[4] <= x[3],
        0.6 * y[3] + 0.3 * y[4] <= x[4],
    )
    m.lower.obj = pyo.Objective(expr=(y[1] - 4) ** 2 + (y[2] - 13) ** 2 + (y[3] - 35) ** 2 + (y[4] - 2) ** 2)
    a, b = y[1] + y[3], y[2] + y[4]
    m.obj = pyo.Objective(expr=-(200 - a) * a - (160 - b) * b)
    return m


@problem(PROBLEMS, value=-13.5 + (29 / 32) ** 2, x=(0, 2), y=(1.875, 0.90625))
def bard_1984_2():
    """Quadratic in x where the follower's rows mention it, and a concave term in F.

    Source: Bard (1984), Naval Research Logistics Quarterly 31, 13-26, example 2; BASBLib b_1984_02, whose
        F = -12.687 is not what its own point gives.
    Best known: F = -13.5 + (29/32)^2 = -12.678710... at x = (0, 2), y = (15/8, 29/32). Checked over a grid of
        x, where y1 is 15/8 clipped to what the rows leave and the second row binds, and by the bound of the KKT model.
    """
    m, x, y = levels([(0, 10)] * 2, [(0, 10)] * 2)
    m.disc = pyo.Constraint(expr=x[1] ** 2 + 2 * x[2] <= 4)
    m.lower.rows = rows(-(x[1] ** 2) + 2 * x[1] - x[2] ** 2 + 2 * y[1] - y[2] <= 3, -x[2] - 3 * y[1] + 4 * y[2] <= -4)
    m.lower.obj = pyo.Objective(expr=2 * x[1] ** 2 + y[1] ** 2 - 5 * y[2])
    m.obj = pyo.Objective(expr=-(x[1] ** 2) - 3 * x[2] - 4 * y[1] + y[2] ** 2)
    return m


@problem(PROBLEMS, value=17, x=1, y=0)
def bard_1988_1():
    """Feasible x fall into a range on which the answer is a broken line.

    Source: Bard (1988), Mathematical Programming 40, 15-27, example 1; BASBLib b_1988_01.
    Best known: F = 17 at (1, 0), in the paper. Proof: by pieces.
    """
    m, x, y = levels((0, 10), (0, 10))
    m.lower.rows = rows(-3 * x + y <= -3, x - 0.5 * y <= 4, x + y <= 7)
    m.lower.obj = pyo.Objective(expr=(y - 1) ** 2 - 1.5 * x * y)
    m.obj = pyo.Objective(expr=(x - 5) ** 2 + (2 * y + 1) ** 2)
    return m


@problem(PROBLEMS, value=0, x=(0.8, 0.2), y=1)
def bard_1998_7_2_1():
    """F can reach its own minimum, at a bound of the follower's.

    Source: Bard (1998), "Practical Bilevel Optimization", Kluwer, example 7.2.1, with the sign of y below as BASBLib
    b_1998_02 has mended it.
    Best known: F = 0 at x = (0.8, 0.2), y = 1. Proof: F >= 0, and y = min(1, 1 + x1 - 2 x2) = 1 there.
    """
    m, x, y = levels([(0, 1)] * 2, (0, 1))
    m.lower.obj = pyo.Objective(expr=0.5 * y**2 - y - x[1] * y + 2 * x[2] * y)
    m.obj = pyo.Objective(expr=0.5 * (x[1] - 0.8) ** 2 + 0.5 * (x[2] - 0.2) ** 2 + 0.5 * (y - 1) ** 2)
    return m


@problem(PROBLEMS, value=0, x=(1, 0.4), y=0.8)
def bard_1998_7_2_2():
    """F can reach its own minimum, inside the follower's bounds.

    Source: Bard (1998), "Practical Bilevel Optimization", Kluwer, example 7.2.2, mended as above; BASBLib b_1998_03.
    Best known: F = 0 at x = (1, 0.4), y = 0.8. Proof: F >= 0, and y = 1 + x1 - 3 x2 = 0.8 there.
    """
    m, x, y = levels([(0, 1)] * 2, (0, 1))
    m.lower.obj = pyo.Objective(expr=0.5 * y**2 - y - x[1] * y + 3 * x[2] * y)
    m.obj = pyo.Objective(expr=0.5 * (x[1] - 1) ** 2 + 0.5 * (x[2] - 0.4) ** 2 + 0.5 * (y - 0.8) ** 2)
    return m


@problem(PROBLEMS, value=203401 / 2501, x=25051 / 2501, y=50 * 25051 / 2501 - 500)
def bard_1998_8_1_3():
    """A steep answer: y = 50 x - 500.

    Source: Bard (1998), "Practical Bilevel Optimization", Kluwer, example 8.1.3; BASBLib b_1998_04.
    Best known: F = 203401/2501 = 81.327... at x = 25051/2501. Proof: F = (x - 1)^2 + (50 x - 501)^2, a parabola.
    """
    m, x, y = levels((-100, 100), (-100, 100))
    m.lower.obj = pyo.Objective(expr=0.5 * y**2 + 500 * y - 50 * x * y)
    m.obj = pyo.Objective(expr=(x - 1) ** 2 + (y - 1) ** 2)
    return m


@problem(PROBLEMS, value=1, x=1, y=0)
def bard_1998_8_1_3_nonnegative():
    """As bard_1998_8_1_3 with y >= 0, which adds the better of two local optima.

    Source: Bard (1998), as above; BASBLib b_1998_05.
    Best known: F = 1 at (1, 0). Proof: y = max(0, 50 x - 500), so F = (x - 1)^2 + 1 up to x = 10 and above 81 from
        there on.
    """
    m, x, y = levels((-100, 100), (0, 100))
    m.lower.obj = pyo.Objective(expr=0.5 * y**2 + 500 * y - 50 * x * y)
    m.obj = pyo.Objective(expr=(x - 1) ** 2 + (y - 1) ** 2)
    return m


@problem(PROBLEMS, value=-114 / 81, x=17 / 9, y=(8 / 9, 0))
def bard_1998_8_5_1():
    """Four rows and a product of x and y1 below.

    Source: Bard (1998), "Practical Bilevel Optimization", Kluwer, example 8.5.1; BASBLib b_1998_07.
    Best known: F = -38/27 at x = 17/9, y = (8/9, 0). Proof: by pieces.
    """
    m, x, y = levels((0, 10), [(0, 10)] * 2)
    m.lower.rows = rows(
        4 * x + 5 * y[1] + 4 * y[2] <= 12,
        4 * x - 4 * y[1] + 5 * y[2] <= 4,
        -4 * x - 5 * y[1] + 4 * y[2] <= -4,
        -4 * x + 4 * y[1] + 5 * y[2] <= 4,
    )
    m.lower.obj = pyo.Objective(expr=(2 * y[1] - 4) ** 2 + (2 * y[2] - 1) ** 2 + x * y[1])
    m.obj = pyo.Objective(expr=(x - 1) ** 2 + 2 * y[1] ** 2 - 2 * x)
    return m


@problem(PROBLEMS, value=5, x=1, y=3)
def clark_westerberg_1990_2():
    """A kinked answer and two local optima, F = 5 and F = 9.

    Source: Clark and Westerberg (1990), Computers and Chemical Engineering 14, 87-97, section 3.2; BASBLib
        cw_1990_02.
    Best known: F = 5 at (1, 3), in the paper. Proof: y = min(2x + 1, 5, (14 - x)/2), and by pieces.
    """
    m, x, y = levels((0, 8), (0, 8))
    m.lower.rows = rows(-2 * x + y <= 1, x - 2 * y <= -2, x + 2 * y <= 14)
    m.lower.obj = pyo.Objective(expr=(y - 5) ** 2)
    m.obj = pyo.Objective(expr=(x - 3) ** 2 + (y - 2) ** 2)
    return m


@problem(PROBLEMS, value=9, x=3, y=5, tags="coupling")
def sahin_ciric_1998_3():
    """clark_westerberg_1990_2 with the rows handed to the leader: the follower no longer minds them.

    Source: Sahin and Ciric (1998), Computers and Chemical Engineering 23, 11-25, example 3; BASBLib sc_1998_01.
    Best known: F = 9 at (3, 5). Proof: y = 5 always, x = 3 meets the rows.
    """
    m, x, y = levels((0, 8), (0, 10))
    m.rows = rows(-2 * x + y <= 1, x - 2 * y <= -2, x + 2 * y <= 14)
    m.lower.obj = pyo.Objective(expr=(y - 5) ** 2)
    m.obj = pyo.Objective(expr=(x - 3) ** 2 + (y - 2) ** 2)
    return m


@problem(PROBLEMS, value=-1, x=(0.5, 0.5), y=(0.5, 0.5))
def de_silva_1978():
    """The optimum is where a bound of the follower's starts to bind: both of a pair are zero.

    Source: de Silva (1978), thesis, George Washington University; BASBLib d_1978_01.
    Best known: F = -1 at x = y = (1/2, 1/2). Proof: y = x within [1/2, 3/2]; per coordinate F is x^2 - 2x + 1/4 up to
        1/2 and 2 x^2 - 2x on the range, both least at 1/2.
    """
    m, x, y = levels([(0, 10)] * 2, [(0.5, 1.5)] * 2)
    m.lower.obj = pyo.Objective(expr=(y[1] - x[1]) ** 2 + (y[2] - x[2]) ** 2)
    m.obj = pyo.Objective(expr=x[1] ** 2 - 2 * x[1] + x[2] ** 2 - 2 * x[2] + y[1] ** 2 + y[2] ** 2)
    return m


@problem(PROBLEMS, value=-2.25, x=(0.75, 0.75), y=(0.75, 0.75))
def falk_liu_1995_2():
    """As de_silva_1978 with the optimum inside the range.

    Source: Falk and Liu (1995), Mathematical Programming 70, 47-72, second example; BASBLib fl_1995_01.
    Best known: F = -2.25 at x = y = (3/4, 3/4), in the paper. Proof: per coordinate 2 x^2 - 3x on the range.
    """
    m, x, y = levels([(0, 10)] * 2, [(0.5, 1.5)] * 2)
    m.lower.obj = pyo.Objective(expr=(y[1] - x[1]) ** 2 + (y[2] - x[2]) ** 2)
    m.obj = pyo.Objective(expr=x[1] ** 2 - 3 * x[1] + x[2] ** 2 - 3 * x[2] + y[1] ** 2 + y[2] ** 2)
    return m


@problem(PROBLEMS, value=0, x=0.5, y=-0.5, tags="answer jumps, products in rows")
def dempe_2000():
    """The answer jumps at x = 0, where every y in [0, 1] is one.

    Source: Dempe (2000), Computational Optimization and Applications 15, 145-166, example 5.6; BASBLib d_2000_01.
    Best known: F = 0 at (1/2, -1/2). Proof: F >= 0, and y = -x for x > 0.
    """
    m, x, y = levels((-0.5, 10), (-10, 11))
    m.lower.rows = rows(-x - y <= 0, -x + y <= 1)
    m.lower.obj = pyo.Objective(expr=x * y)
    m.obj = pyo.Objective(expr=(-x + y + 1) ** 2)
    return m


@problem(PROBLEMS, value=0, x=1, y=0, tags="answer jumps, several answers below")
def lucchetti_mignanego_pieri_1987():
    """The optimum is an isolated point: only at x = 1 does the follower not care, and only there may y = 0 be hoped
    for.

    Source: Lucchetti, Mignanego and Pieri (1987), Optimization 18, 857-866, example 4.1; BASBLib lmp_1987_01.
    Best known: F = 0 at (1, 0). Proof: F >= 0 on the unit square. For x < 1 the answer is y = 1 and F = (1 + x)/2.
    """
    m, x, y = levels((0, 1), (0, 1))
    m.lower.obj = pyo.Objective(expr=(x - 1) * y)
    m.obj = pyo.Objective(expr=0.5 * (1 - x) + x * y)
    return m


@problem(PROBLEMS, value=1.5, x=0.25, y=0, tags="answer jumps, several answers below")
def yezza_1996_3_1():
    """The optimum lies where the answer jumps from 1 to 0.

    Source: Yezza (1996), J. Optimization Theory and Applications 89, 189-219, example 3.1; BASBLib y_1996_02.
    Best known: F = 1.5 at (1/4, 0). Proof: for x < 1/4 y = 1 and F = 4 - 2x; for x > 1/4 y = 0 and F = 2x + 1; at 1/4
        every y is an answer and F = 1.5 + 2y.
    """
    m, x, y = levels((0, 1), (0, 1))
    m.lower.obj = pyo.Objective(expr=-(1 - 4 * x) * y - 2 * x - 2)
    m.obj = pyo.Objective(expr=-(4 * x - 3) * y + 2 * x + 1)
    return m


@problem(PROBLEMS, value=2, x=2, y=(6, 0), tags="several answers below")
def bard_1991_2():
    """Linear in y, with a price that is the leader's.

    Source: Bard (1991), J. Optimization Theory and Applications 68, 371-378, example 2.1; BASBLib b_1991_02.
    Best known: F = 2 at x = 2, y = (6, 0). Proof: F = x + y2 >= 2, and y = (x + 4, 0) is an answer wherever x >= 2.
    """
    m, x, y = levels((2, 4), [(0, 10)] * 2)
    m.lower.rows = rows(x - y[1] - y[2] <= -4)
    m.lower.obj = pyo.Objective(expr=2 * y[1] + x * y[2])
    m.obj = pyo.Objective(expr=x + y[2])
    return m


@problem(PROBLEMS, value=100, x=10, y=10, tags="coupling")
def shimizu_aiyoshi_1981_1():
    """The optimum lies in the kink of the answer, where the leader's row binds too.

    Source: Shimizu and Aiyoshi (1981), IEEE Trans. Automatic Control 26, 460-466, example 1; BASBLib sa_1981_01.
    Best known: F = 100 at (10, 10), in the paper. Proof: y = min(15 - x/2, 20 - x), so y <= x says x >= 10.
    """
    m, x, y = levels((0, 15), (0, 20))
    m.order = pyo.Constraint(expr=-x + y <= 0)
    m.lower.rows = rows(x + y <= 20)
    m.lower.obj = pyo.Objective(expr=(x + 2 * y - 30) ** 2)
    m.obj = pyo.Objective(expr=x**2 + (y - 10) ** 2)
    return m


@problem(PROBLEMS, value=225, x=(20, 5), y=(10, 5))
def shimizu_aiyoshi_1981_2():
    """The follower projects x on a box.

    Source: Shimizu and Aiyoshi (1981), IEEE Trans. Automatic Control 26, 460-466, example 2; BASBLib sa_1981_02.
    Best known: F = 225 at x = (20, 5), y = (10, 5), in the paper. Proof: by pieces.
    """
    m, x, y = levels([(0, 25), (0, 15)], [(0, 10)] * 2)
    m.rows = rows(-x[1] - 2 * x[2] <= -30, x[1] + x[2] <= 25)
    m.lower.obj = pyo.Objective(expr=(x[1] - y[1]) ** 2 + (x[2] - y[2]) ** 2)
    m.obj = pyo.Objective(expr=(x[1] - 30) ** 2 + (x[2] - 20) ** 2 - 20 * y[1] + 20 * y[2])
    return m


@problem(PROBLEMS, value=22.5, x=1.5, y=4.5, tags="several optima, maximise below")
def tuy_migdalas_hoai_phuong_2007_1():
    """A convex F over the upper edge of a polygon: two optima.

    Source: Tuy, Migdalas and Hoai-Phuong (2007), J. Global Optimization 38, 527-554, example 1; BASBLib tmh_2007_01.
    Best known: F = 22.5 at (1.5, 4.5), in the paper; (4.5, 1.5), which BASBLib does not list, is as good. Proof: y is
        the least of (15 - x)/3, 7 - x and 15 - 3x, and F is least on each at 1.5, 3.5 (24.5) and 4.5.
    """
    m, x, y = levels((0, 10), (0, 10))
    m.lower.rows = rows(3 * x + y <= 15, x + y <= 7, x + 3 * y <= 15)
    m.lower.obj = pyo.Objective(expr=y, sense=pyo.maximize)
    m.obj = pyo.Objective(expr=x**2 + y**2)
    return m


@problem(PROBLEMS, value=0.5, x=0.5, y=(0.25, 0.25), tags="maximise above, maximise below, equalities, free variables")
def concave_maximisers():
    """Both maximise, the follower has free variables and an equality.

    Source: written for this shelf.
    Best known: F = 0.5 at x = 1/2, y = (1/4, 1/4). Proof: on y1 + y2 = x the follower's y1 = y2 = x/2 has the largest
    -(y1^2 + y2^2), so F = 2 y1 + 2 y2 - 2 x^2 = 2x - 2 x^2.
    """
    m, x, y = levels((None, None), [(None, None)] * 2)
    m.lower.rows = rows(y[1] + y[2] == x)
    m.lower.obj = pyo.Objective(expr=-(y[1] ** 2) - y[2] ** 2, sense=pyo.maximize)
    m.obj = pyo.Objective(expr=2 * y[1] + 2 * y[2] - 2 * x**2, sense=pyo.maximize)
    return m
