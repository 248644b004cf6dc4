"""Lower levels that are convex (or quasiconvex) and not quadratic: powers, exponentials, curved rows, rows without an
interior.

Each value is proved by a formula for the answer, stated with the problem; tests/literature compares with an
enumeration of x. ``create_model(name=...)`` returns one problem, ``PROBLEMS`` holds them all.

Data: BASBLib 2.3 (Paulavicius and Adjiman 2019, doi 10.5281/zenodo.3266835, public domain), where its name is given;
"Colson" is Colson (2002), "BIPA: software guide and test problems", Cahiers du GERAD.
"""

import math

import pyomo.environ as pyo
from shelf import choose, levels, problem, rows

PROBLEMS = {}
_ROOT = math.sqrt(2.0)
_COLSON_1 = (10 * _ROOT - 2.5) / (_ROOT + 0.5)


def create_model(name="colson_2002_3"):
    return choose(PROBLEMS, name)


@problem(
    PROBLEMS,
    value=(10 - _COLSON_1) ** 3 + ((5 + _COLSON_1) / 2) ** 3,
    x=_COLSON_1,
    y=(15 - _COLSON_1) / 2,
    tags="coupling, flat below",
    slow=True,
)
def colson_2002_1():
    """The follower's objective is a fourth power: an error of 1e-6 in f is one of 0.03 in y.

    Source: Colson, BIPA1; BASBLib c_2002_01, whose F = 227.691 at (6.082, 4.487) has a y that is off by the said 0.03.
    Best known: F = 230.2676... at x = (10 sqrt 2 - 5/2)/(sqrt 2 + 1/2) = 6.082. Proof: y = (15 - x)/2, y <= x says
        x >= 5, and F' = -3 (10 - x)^2 + 3/8 (5 + x)^2 vanishes there and nowhere else up to 15.
    """
    m, x, y = levels((0, 15), (0, 20))
    m.order = pyo.Constraint(expr=-x + y <= 0)
    m.lower.rows = rows(x + y <= 20)
    m.lower.obj = pyo.Objective(expr=(x + 2 * y - 15) ** 4)
    m.obj = pyo.Objective(expr=(10 - x) ** 3 + (10 - y) ** 3)
    return m


@problem(PROBLEMS, value=17, x=1, y=0)
def colson_2002_2():
    """bard_1988_1 with x^3 added to f, which changes nothing.

    Source: Colson, BIPA2; BASBLib c_2002_02.
    Best known: F = 17 at (1, 0). Proof: as bard_1988_1.
    """
    m, x, y = levels((0, 10), (0, 10))
    m.lower.rows = rows(-3 * x + y <= -3, x - 0.5 * y <= 4, x + y <= 7)
    m.lower.obj = pyo.Objective(expr=(y - 1) ** 2 - 1.5 * x * y + x**3)
    m.obj = pyo.Objective(expr=(x - 5) ** 2 + (2 * y + 1) ** 2)
    return m


@problem(PROBLEMS, value=2, x=4, y=0, tags="coupling")
def colson_2002_3():
    """An exponential below; the answer is y = 0 throughout.

    Source: Colson, BIPA3; BASBLib c_2002_03.
    Best known: F = 2 at (4, 0). Proof: f' = exp(y - x) + 2 (x + y) + 6 > 0, so y = 0 and x <= 4.
    """
    m, x, y = levels((0, 10), (0, 10))
    m.total = pyo.Constraint(expr=x + y <= 4)
    m.lower.rows = rows(-x + y <= 2)
    m.lower.obj = pyo.Objective(expr=pyo.exp(-x + y) + x**2 + 2 * x * y + y**2 + 2 * x + 6 * y)
    m.obj = pyo.Objective(expr=(x - 5) ** 4 + (2 * y + 1) ** 4)
    return m


@problem(PROBLEMS, value=(10 - 1 / math.sqrt(3)) ** 2, x=0, y=1 / math.sqrt(3), tags="coupling")
def colson_2002_4():
    """A cubic that is convex where y may be.

    Source: Colson, BIPA4; BASBLib c_2002_04, which states F = 88.754 at y = 0.579: an answer to three digits, not the
        answer.
    Best known: F = (10 - 1/sqrt 3)^2 = 88.786... at x = 0. Proof: y = 1/sqrt 3 for every x >= 0.
    """
    m, x, y = levels((0, 10), (0, 10))
    m.total = pyo.Constraint(expr=x + 2 * y <= 6)
    m.lower.rows = rows(-x + 2 * y <= 3)
    m.lower.obj = pyo.Objective(expr=-(x**2) + x**3 + 2 * y**3 + x - 2 * y)
    m.obj = pyo.Objective(expr=x**2 + (y - 10) ** 2)
    return m


@problem(PROBLEMS, value=2.74976763506, x=1.94052906318, y=(0, 1.21099577173), slow=True)
def colson_2002_5():
    """Curved rows with an exponential and a fourth power.

    Source: Colson, BIPA5; BASBLib c_2002_05 (F = 2.750).
    Best known: F = 2.749768... at x = 1.940529.... Proof: y1 = 0 and y2 = min(3/2, log(15 - 6x)), which leaves one
        variable; with the first F >= 3.25, with the second F = (x - y2)^4 + 1 + y2^2 has one minimum.
    """
    m, x, y = levels((0, 10), [(0, 4), (0, 2)])
    m.lower.rows = rows(6 * x + y[1] ** 2 + pyo.exp(y[2]) <= 15, 5 * x + y[1] ** 4 - y[2] <= 25)
    m.lower.obj = pyo.Objective(expr=2 * x + pyo.exp(y[1]) + y[1] ** 2 + 4 * y[1] + 2 * y[2] ** 2 - 6 * y[2])
    m.obj = pyo.Objective(expr=(x - y[2]) ** 4 + (y[1] - 1) ** 2 + (y[1] - y[2]) ** 2)
    return m


@problem(PROBLEMS, value=2250, x=11.25, y=5, tags="coupling, flat below", slow=True)
def shimizu_ishizuka_bard_1997_15_3_1():
    """A fourth power below, and two local optima.

    Source: Shimizu, Ishizuka and Bard (1997), "Nondifferentiable and Two-Level Mathematical Programming", Kluwer,
        example 15.3.1; BASBLib sib_1997_01.
    Best known: F = 2250 at (11.25, 5), in the book. Proof: y = min(20 - x, 50 - 4x); F is least at 7.2 (2304) on the
        first and at 11.25 on the second.
    """
    m, x, y = levels((0, 12.5), (0, 50))
    m.order = pyo.Constraint(expr=-4 * x + y <= 0)
    m.lower.rows = rows(4 * x + y <= 50)
    m.lower.obj = pyo.Objective(expr=(x + y - 20) ** 4)
    m.obj = pyo.Objective(expr=16 * x**2 + 9 * y**2)
    return m


@problem(PROBLEMS, value=31.25, x=1, y=1, slow=True)
def dempe_1992():
    """A curved row y^2 <= x; F is flat to second order at its optimum.

    Source: Dempe (1992), Optimization 25, 341-354, example 4.1; BASBLib d_1992_01.
    Best known: F = 31.25 at (1, 1). Proof: y = min(3, sqrt x); F' = 2x - 6 + 4/sqrt x, zero at 1 and growing from
        there on.
    """
    m, x, y = levels((1, 10), (1, 10))
    m.lower.rows = rows(y**2 - x <= 0)
    m.lower.obj = pyo.Objective(expr=(y - 3) ** 2)
    m.obj = pyo.Objective(expr=(x - 3.5) ** 2 + (y + 4) ** 2)
    return m


@problem(PROBLEMS, value=0, x=1, y=0, tags="no constraint qualification")
def dempe_dutta_2012_2_4():
    """The row y^2 <= 0 has no interior: the optimality conditions hold at x = 0 only, which is not the optimum.

    Source: Dempe and Dutta (2012), Mathematical Programming 131, 37-48, example 2.4; BASBLib dd_2012_01.
    Best known: F = 0 at (1, 0), in the paper. BASBLib's F = 1 at (0, 0) is the optimum of the KKT model, the very
        trap that the paper describes. Proof: y = 0 is the only feasible y.
    """
    m, x, y = levels((-10, 10), (-10, 10))
    m.lower.rows = rows(y**2 <= 0)
    m.lower.obj = pyo.Objective(expr=x**2 * y)
    m.obj = pyo.Objective(expr=(x - 1) ** 2 + y**2)
    return m


@problem(PROBLEMS, value=-2, x=(1, 1), y=(0, 2), tags="no constraint qualification, coupling", slow=True)
def dempe_dutta_2012_3_1():
    """Two discs that at the optimum touch in a point, where the follower has no multipliers.

    Source: Dempe and Dutta (2012), Mathematical Programming 131, 37-48, example 3.1; BASBLib dd_2012_02, which states
        none.
    Best known: F = -2 at x = (1, 1), y = (0, 2). Proof: the follower projects (0, -1) on the discs about (x1, 1 + x1)
        and (-x2, 1 + x2) with radius 1. The leader wants y1 = 0 (y2 = 0 gives F = 0), which a projection on one disc
        alone has at x = 0 only, and a corner of both has for x1 = x2 = t, y2 = 1 + t - sqrt(1 - t^2), largest at t =
        1; other x whose discs cross on the axis cross a second time nearer to (0, -1).
    """
    m, x, y = levels([(0, 10)] * 2, [(-10, 10)] * 2)
    m.axis = pyo.Constraint(expr=y[1] * y[2] == 0)
    m.lower.rows = rows(
        (y[1] - x[1]) ** 2 + (y[2] - 1 - x[1]) ** 2 <= 1, (y[1] + x[2]) ** 2 + (y[2] - 1 - x[2]) ** 2 <= 1
    )
    m.lower.obj = pyo.Objective(expr=y[1] ** 2 + (y[2] + 1) ** 2)
    m.obj = pyo.Objective(expr=-y[2])
    return m


@problem(PROBLEMS, value=1, x=1, y=(0, 1), tags="maximise below, products in rows", slow=True)
def floudas_zlobec_1998():
    """A product of x and y in a curved row; for x <= 1/100 the bound on y2 takes its place.

    Source: Floudas and Zlobec (1998), in "Multilevel Optimization: Algorithms and Applications", Kluwer; Gumus and
        Floudas (2001), J. Global Optimization 20, 1-31, example 2; BASBLib fz_1998_01.
    Best known: F = 1 at x = 1, y = (0, 1). Proof: for x > 1/100 the answer is (0, 1/x) and F = 1/x; below that F >=
        99.
    """
    m, x, y = levels((0, 1), [(-1, 1), (0, 100)])
    m.lower.rows = rows(x * y[1] <= 10, y[1] ** 2 + x * y[2] <= 1)
    m.lower.obj = pyo.Objective(expr=y[2], sense=pyo.maximize)
    m.obj = pyo.Objective(expr=x**3 * y[1] + y[2])
    return m


@problem(PROBLEMS, value=0, x=-0.5671432904097838, y=0, tags="coupling, answer jumps", tolerance=1e-5)
def mitsos_barton_2007_08():
    """One x is feasible, an irrational one: elsewhere the answer is -1 or 1, which the leader's rows forbid.

    Source: Mitsos and Barton (2007), "A Test Set for Bilevel Programs", example 3.8; BASBLib mb_2007_08.
    Best known: F = 0 at x = -W(1) = -0.56714..., y = 0. Proof: f = (x + exp x) y.
    """
    m, x, y = levels((-1, 1), (-1, 1))
    m.band = pyo.Constraint(expr=(-0.1, y, 0.1))
    m.lower.obj = pyo.Objective(expr=x * y + pyo.exp(x) * y)
    m.obj = pyo.Objective(expr=y**2)
    return m


@problem(PROBLEMS, value=-29.2, x=(0, 0.9), y=(0, 0.6, 0.4), tags="quasiconvex below, nonconvex below")
def calvete_gale_1999():
    """A linear fractional follower: not convex, but every local answer is global.

    Source: Calvete and Gale (1999), European J. Operational Research 114, 188-197; BASBLib cg_1999_01.
    Best known: F = -29.2 at x = (0, 0.9), y = (0, 0.6, 0.4), in the paper. Checked by the follower's vertices over a
        grid of x.
    """
    m, x, y = levels([(0, 2)] * 2, [(0, 2)] * 3)
    m.lower.rows = rows(
        -y[1] + y[2] + y[3] <= 1,
        2 * x[1] - y[1] + 2 * y[2] - 0.5 * y[3] <= 1,
        2 * x[2] + 2 * y[1] - y[2] - 0.5 * y[3] <= 1,
    )
    above, below = 1 + x[1] + x[2] + 2 * y[1] - y[2] + y[3], 6 + 2 * x[1] + y[1] + y[2] - 3 * y[3]
    m.lower.obj = pyo.Objective(expr=above / below)
    m.obj = pyo.Objective(expr=-8 * x[1] - 4 * x[2] + 4 * y[1] - 40 * y[2] - 4 * y[3])
    return m


@problem(PROBLEMS, value=1 + math.log(2), x=1, y=(math.log(2), 1), tags="equalities, free variables")
def exponential_equality():
    """The follower's variables are free and tied by an equality; its objective is a sum of an exponential and a
    square.

    Source: written for this shelf.
    Best known: F = 1 + log 2 at x = 1, y = (log 2, 1). Proof: y2 = x, and y1 = log 2 minimises exp(y1) - 2 y1, so F =
        log 2 + x^2 - 2x + 2.
    """
    m, x, y = levels((-5, 5), [(None, None)] * 2)
    m.lower.rows = rows(y[2] - x == 0)
    m.lower.obj = pyo.Objective(expr=pyo.exp(y[1]) - 2 * y[1] + (y[2] - 3) ** 2)
    m.obj = pyo.Objective(expr=y[1] + y[2] ** 2 - 2 * x + 2)
    return m
