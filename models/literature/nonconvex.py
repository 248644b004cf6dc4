"""Nonconvex continuous lower levels, most of them polynomials in one y, after Mitsos and Barton.

``create_model(name=...)`` returns one problem, ``PROBLEMS`` holds them all. The answer is the *global* one: a
stationary or locally optimal y is none. Each value is proved by a formula for the answer, stated with the problem, or
(where "by enumeration" is said) by the roots of f' over a fine grid of x, polished; tests/literature compares all of
them with an enumeration of x and y.

Source, unless another is named: Mitsos and Barton (2007), "A Test Set for Bilevel Programs", MIT, as copied in
BASBLib 2.3 (Paulavicius and Adjiman 2019, doi 10.5281/zenodo.3266835, public domain), whose names mb_2007_nn are
kept.
"""

import math

import pyomo.environ as pyo
from shelf import choose, levels, problem, rows

PROBLEMS = {}
_S = (math.sqrt(13) - 1) / 6


def create_model(name="mb_2007_14"):
    return choose(PROBLEMS, name)


def _known(value, x=(), y=(), tags="", **more):
    return problem(PROBLEMS, value=value, x=x, y=y, tags=f"nonconvex below, {tags}", **more)


def _square(f, F, x=(-1, 1), y=(-1, 1)):
    """One x and one y, neither level with a row."""
    m, x, y = levels(x, y)
    m.lower.obj = pyo.Objective(expr=f(x, y))
    m.obj = pyo.Objective(expr=F(x, y))
    return m


def _quartic(y):
    return 16 * y**4 + 2 * y**3 - 8 * y**2 - 1.5 * y + 0.5


def _wave(x, y):
    last = (0.004 * x**3 - 0.036 * x**2 + 0.08 * x) * y
    return y**4 + (4 / 30) * (1 - x) * y**3 + (-0.02 * x**2 + 0.16 * x - 0.4) * y**2 + last


@_known(-1, y=-1, tags="no upper variable, several answers below")
def mb_2006_01():
    """f = -y^2 has two answers.

    Source: Mitsos and Barton (2006), "Issues in the development of global optimization algorithms for bilevel
        programs with a nonconvex inner program", MIT, example 4.2; BASBLib mb_2006_01.
    Best known: F = -1 at y = -1. Proof: y = -1 and y = 1 are the answers.
    """
    m, _, y = levels(None, (-1, 1))
    m.lower.obj = pyo.Objective(expr=-(y**2))
    m.obj = pyo.Objective(expr=y)
    return m


@_known(-1, y=-1, tags="no upper variable, several answers below")
def mb_2007_03():
    """The feasible y are two pieces, |y| >= 1.

    Source: example 3.3.
    Best known: F = -1 at y = -1. Proof: y = -1 and y = 1 are the answers.
    """
    m, _, y = levels(None, (-10, 10))
    m.lower.rows = rows(1 - y**2 <= 0)
    m.lower.obj = pyo.Objective(expr=y**2)
    m.obj = pyo.Objective(expr=y)
    return m


@_known(1, y=1, tags="no upper variable")
def mb_2007_04():
    """f = -y^2 on [-1/2, 1]: the left end is a local answer that F would like better.

    Source: example 3.4.
    Best known: F = 1 at y = 1. Proof: the only answer.
    """
    m, _, y = levels(None, (-0.5, 1))
    m.lower.obj = pyo.Objective(expr=-(y**2))
    m.obj = pyo.Objective(expr=y)
    return m


@_known(0.5, y=0.5, tags="no upper variable")
def mb_2007_05():
    """A quartic with a local answer at -0.5 or so.

    Source: example 3.5.
    Best known: F = 0.5. Proof: f' = 64 y^3 + 6 y^2 - 16 y - 1.5 vanishes at 1/2, where f = -1, and twice elsewhere; f
        is larger there and at both ends.
    """
    m, _, y = levels(None, (-1, 1))
    m.lower.obj = pyo.Objective(expr=_quartic(y))
    m.obj = pyo.Objective(expr=y)
    return m


@_known(-1, y=-1, tags="no upper variable")
def mb_2007_06():
    """f = y^3: y = 0 is stationary and no answer.

    Source: example 3.6.
    Best known: F = -1 at y = -1. Proof: the only answer.
    """
    m, _, y = levels(None, (-1, 1))
    m.lower.obj = pyo.Objective(expr=y**3)
    m.obj = pyo.Objective(expr=y)
    return m


@_known(-1, x=-1, y=-1, tags="coupling")
def mb_2007_09():
    """A row of the leader's over an answer that never changes.

    Source: example 3.9 (whose f also holds x^3; BASBLib's does not, and the answer is the same).
    Best known: F = -1 at (-1, -1). Proof: y = -1, so x >= -1.
    """
    m, x, y = levels((-10, 10), (-1, 1))
    m.order = pyo.Constraint(expr=-x + y <= 0)
    m.lower.obj = pyo.Objective(expr=y**3)
    m.obj = pyo.Objective(expr=x)
    return m


@_known(0.5, x=0.1, y=0.5, tags="several optima")
def mb_2007_10():
    """mb_2007_05 times x: every x is optimal.

    Source: example 3.10.
    Best known: F = 0.5. Proof: x > 0 changes no answer.
    """
    return _square(lambda x, y: x * _quartic(y), lambda x, y: y, x=(0.1, 1))


@_known(-0.8, x=0, y=-0.8, tags="answer jumps, several answers below")
def mb_2007_11():
    """mb_2007_05 times x with x = 0 allowed, where the follower does not care.

    Source: example 3.11.
    Best known: F = -0.8 at (0, -0.8). Proof: F >= -0.8, and f = 0 at x = 0.
    """
    return _square(lambda x, y: x * _quartic(y), lambda x, y: y, y=(-0.8, 1))


@_known(0, x=0, y=0, slow=True)
def mb_2007_12():
    """The answers are y^2 = max(0, x).

    Source: example 3.12.
    Best known: F = 0 at (0, 0). Proof: F = -x for x <= 0 and at least 9x - x^1.5 > 0 for x > 0.
    """
    return _square(lambda x, y: -x * y**2 + 0.5 * y**4, lambda x, y: -x + x * y + 10 * y**2)


@_known(-1, x=0, y=1, tags="answer jumps, several answers below", slow=True)
def mb_2007_13():
    """Convex below for x > 0, concave for x < 0, nothing at x = 0.

    Source: example 3.13.
    Best known: F = -1 at (0, 1). Proof: y = x^2 for x > 0, F >= 0; y = -1 for x < 0, F >= 0; F = -y at x = 0.
    """
    return _square(lambda x, y: 0.5 * x * y**2 - y * x**3, lambda x, y: x - y)


@_known(-2, x=-1, y=-1, tags="answer jumps")
def mb_2007_13_variant():
    """mb_2007_13 with another F.

    Source: BASBLib mb_2007_13v.
    Best known: F = -2 at (-1, -1). Proof: F >= -2, and y = -1 for x < 0.
    """
    return _square(lambda x, y: 0.5 * x * y**2 - y * x**3, lambda x, y: x + y)


@_known(0.25, x=0.25, y=0.5, tags="answer jumps, several answers below")
def mb_2007_14():
    """The optimum is where a local answer becomes the global one: both are as good there, and the leader may choose.

    Source: example 3.14.
    Best known: F = 0.25 at (1/4, 1/2). Proof: y = sqrt x has f = -2/3 x^1.5, y = -1 has x - 1/3; they meet at 1/4.
        Below it F >= 1.
    """
    return _square(lambda x, y: y**3 / 3 - x * y, lambda x, y: (x - 0.25) ** 2 + y**2)


@_known(0, x=-1, y=1)
def mb_2007_15():
    """A cubic whose answer is 1 for x < 2/3 and 0 beyond.

    Source: example 3.15.
    Best known: F = 0 at (-1, 1). Proof: f(1) = x/2 - 1/3 against f(0) = 0 and f(-1) = x/2 + 1/3, the only other
        candidates.
    """
    return _square(lambda x, y: 0.5 * x * y**2 - y**3 / 3, lambda x, y: x + y)


@_known(-2, x=-1, y=0, tags="several optima")
def mb_2007_16():
    """Two optima, one where the answer jumps.

    Source: example 3.16.
    Best known: F = -2 at (-1, 0) and (-1/2, -1). Proof: f is concave in y^2: y = 0 for x <= -1/2, F = 2x; |y| = 1 for
        x >= -1/2, F >= 2x - 1.
    """
    return _square(lambda x, y: -0.5 * x * y**2 - y**4 / 4, lambda x, y: 2 * x + y)


@_known(0.1875, x=-0.25, y=0.5, tags="several answers below, several optima", slow=True)
def mb_2007_17():
    """A double well: y^2 = max(0, -x).

    Source: example 3.17.
    Best known: F = 0.1875 at x = -1/4, |y| = 1/2. Proof: F = (x + 1/2)^2 - x/2 for x <= 0, at least 1/4 for x > 0.
    """
    return _square(lambda x, y: 0.5 * x * y**2 + y**4 / 4, lambda x, y: (x + 0.5) ** 2 + 0.5 * y**2)


@_known(-1, x=1, y=0)
def mb_2007_18():
    """f is concave in y^2.

    Source: example 3.18.
    Best known: F = -1 at (1, 0). Proof: F >= -1, and y = 0 for x > 1/2.
    """
    return _square(lambda x, y: x * y**2 - y**4 / 2, lambda x, y: -(x**2) + y**2)


@_known(0.25, x=0.5, y=0, tags="answer jumps, several answers below")
def mb_2007_18_variant():
    """mb_2007_18 with another F, which puts the optimum where the answer jumps.

    Source: BASBLib mb_2007_18v.
    Best known: F = 0.25 at (1/2, 0). Proof: |y| = 1 for x < 1/2, where F >= 1; y = 0 beyond; both at 1/2.
    """
    return _square(lambda x, y: x * y**2 - y**4 / 2, lambda x, y: x**2 + y**2)


@_known(_S**3 + _S**2 / 2 - _S, x=_S**2, y=_S, tags="several answers below")
def mb_2007_19():
    """A double well in which the leader chooses the right-hand side.

    Source: example 3.19.
    Best known: F = -0.2580... at x = s^2, y = s = (sqrt 13 - 1)/6. Proof: y = 0 for x <= 0; y = s, s^2 = x, beyond: F
        = s^3 + s^2/2 - s.
    """
    return _square(lambda x, y: -x * y**2 + y**4 / 2, lambda x, y: x * y - y + 0.5 * y**2)


@_known(0.3125, x=0.5, y=0.5, tags="answer jumps, several answers below")
def mb_2007_20():
    """As mb_2007_14 with x^2: the optimum is where the answer jumps.

    Source: example 3.20.
    Best known: F = 0.3125 at (1/2, 1/2). Proof: y = |x| for |x| >= 1/2, y = -1 between.
    """
    return _square(lambda x, y: -(x**2) * y + y**3 / 3, lambda x, y: (x - 0.25) ** 2 + y**2)


@_known(2116 / 10100, x=-56 / 101, y=46 / 101, slow=True)
def mb_2007_21():
    """A quartic with two wells whose order depends on x.

    Source: example 3.21; BASBLib mb_2007_21 (F = 0.210).
    Best known: F = 2116/10100 = 0.209504... at (-56/101, 46/101). Proof: y = 0.4 - x/10 is stationary and the answer
        there, which leaves a parabola; that no other x is better is by enumeration.
    """
    return _square(_wave, lambda x, y: (x + 0.6) ** 2 + y**2)


@_known(1936 / 10100, x=65 / 101, y=-44 / 101, tags="curved rows", slow=True)
def mb_2007_22():
    """mb_2007_21 with a hole of the follower's about y = 0.

    Source: example 3.22; BASBLib mb_2007_22 (F = 0.189 at (0.635, -0.433)).
    Best known: F = 1936/10100 = 0.191683... at (65/101, -44/101); the 0.189 stated has lost digits. Proof: y = x/10 -
        0.5 is stationary and the answer there, which leaves a parabola; that no other x is better is by enumeration.
    """
    m = _square(_wave, lambda x, y: (x - 0.6) ** 2 + y**2)
    m.lower.rows = rows(0.01 * (1 + m.x**2) - m.lower.y**2 <= 0)
    return m


@_known(2116 / 10100, x=-56 / 101, y=46 / 101, tags="curved rows", slow=True)
def mb_2007_22_variant():
    """mb_2007_22 with the F of mb_2007_21; the hole changes nothing there.

    Source: BASBLib mb_2007_22v (F = 0.210).
    Best known: as mb_2007_21. By enumeration.
    """
    m = _square(_wave, lambda x, y: (x + 0.6) ** 2 + y**2)
    m.lower.rows = rows(0.01 * (1 + m.x**2) - m.lower.y**2 <= 0)
    return m


@_known(
    -1.75471792682521, x=0.210662134023413, y=1.7990964615365, tags="several answers below, flat below", tolerance=1e-5
)
def mb_2007_23():
    """f is the square of a quadratic: two answers, at its roots, and the leader takes the larger.

    Source: example 3.24; BASBLib mb_2007_23 (F = -1.755, f = 0.009, which should be zero).
    Best known: F = -1.754717... at (0.210662..., 1.799096...). Proof: y = 1 + x/10 + sqrt((1 + x)/2), which leaves a
        convex function of x.
    """
    return _square(lambda x, y: ((y - 1 - 0.1 * x) ** 2 - 0.5 - 0.5 * x) ** 2, lambda x, y: x**2 - y, (0, 1), (0, 3))


@_known(
    -2 - math.sqrt(2) / 4,
    x=(-1, -1),
    y=(1, 1, -math.sqrt(0.5)),
    tags="coupling, several answers below, several optima",
    slow=True,
)
def mb_2007_24():
    """The leader's rows want y of middling length: between 1.5 and 2.5 in squares.

    Source: example 3.26; BASBLib mb_2007_24.
    Best known: F = -2 - sqrt(2)/4 at x = (-1, -1), y = (1, +-1, -sqrt(1/2)). Proof: x1 > 0 leaves too short a y. For
        x1 < 0 y1 is 1 or -1; then x2 < 0 makes |y2| = 1 and y3 = 0 unless x1 = x2, where y3^2 <= 1/2 is free: F >= x1
        + x2 but for that. And x2 >= 0 gives F >= x1 - x2 >= -2.
    """
    m, x, y = levels([(-1, 1)] * 2, [(-1, 1)] * 3)
    m.away = pyo.Constraint(expr=x[1] ** 2 >= 0.1)
    m.length = pyo.Constraint(expr=(1.5, y[1] ** 2 + y[2] ** 2 + y[3] ** 2, 2.5))
    m.lower.obj = pyo.Objective(expr=x[1] * y[1] ** 2 + x[2] * y[2] ** 2 + (x[1] - x[2]) * y[3] ** 2)
    m.obj = pyo.Objective(expr=x[1] * y[1] + x[2] * y[2] ** 2 + x[1] * x[2] * y[3] ** 3)
    return m


@_known(-1, x=0, y=1, tags="answer jumps, several answers below")
def kleniati_adjiman_2014_3():
    """The follower does not care at x = 0; to the right the answer is y = 1 too.

    Source: Kleniati and Adjiman (2014), J. Global Optimization 60, 459-481, example 3; BASBLib ka_2014_01.
    Best known: F = -1 at (0, 1). Proof: y = 1 for x > 0, -1 for x < 0; F >= -1 where x >= 0, F >= 0 where x < 0.
    """
    return _square(lambda x, y: 0.5 * x * y**2 - x * y**3, lambda x, y: x - y)


@_known(-10, x=(1, -1, -1, -1, -1), y=(-1, -1, -1, -1, -1), tags="coupling, several optima, curved rows", slow=True)
def kleniati_adjiman_2014_4():
    """Five variables each, products of three of the leader's below.

    Source: Kleniati and Adjiman (2014), J. Global Optimization 60, 459-481, example 4; BASBLib ka_2014_02.
    Best known: F = -10, in the paper. Proof: F >= -10 on the box; at the point y1 = -1 and y3 = -1 are forced (y3^2
        >= 0.8), y2 has coefficient 0, and y4^2 = y5^2 = 1 since x3 x4 x5 = -1.
    """
    m, x, y = levels([(-1, 1)] * 5, [(-1, 1)] * 5)
    m.rows = rows(-x[1] + y[1] * y[2] <= 0, x[2] * y[1] ** 2 <= 0, x[1] + y[3] - pyo.exp(x[2]) <= 0)
    m.lower.rows = rows(x[1] - y[3] ** 2 <= 0.2)
    m.lower.obj = pyo.Objective(
        expr=0.1 * y[3] + y[1] ** 3 + (x[1] + x[2]) * y[2] ** 2 + (y[4] ** 2 + y[5] ** 2) * x[3] * x[4] * x[5]
    )
    m.obj = pyo.Objective(expr=-sum(x[k] ** 2 + y[k] ** 2 for k in x))
    return m


@_known(0.193616096608, x=0.193616096608, y=(10 - 0.0332333, 10), tags="curved rows", tolerance=1e-5)
def gumus_floudas_2001_5():
    """Fractional powers; the leader wants the smallest x for which the follower has an answer at all.

    Source: Gumus and Floudas (2001), J. Global Optimization 20, 1-31, example 5; BASBLib gf_2001_01 (F = 0.19), with
        y2 <= 10 as in the paper.
    Best known: F = 0.193616... Proof: the second row needs y2 >= (4x + 2 x^-0.71)/(1 - 0.0332333 x^-1.3), which is 10
        there and more for smaller x; y2 = 10 is then forced and y1 = 10 (1 - 0.00332333), since f is decreasing
        there.
    """
    m, x, y = levels((0.1, 10), [(0.1, 10)] * 2)
    c = 0.0332333
    m.lower.rows = rows(c / y[2] + 0.1 * y[1] <= 1, 4 * x / y[2] + 2 * x ** (-0.71) / y[2] + c * x ** (-1.3) <= 1)
    m.lower.obj = pyo.Objective(expr=-y[1] + 0.5864 * y[1] ** (2 / 3))
    m.obj = pyo.Objective(expr=x)
    return m


@_known(2, x=2, y=(0, 0), tags="curved rows, no constraint qualification")
def nie_wang_ye_2017_3_4():
    """The answer is a point where the row's gradient vanishes.

    Source: Nie, Wang and Ye (2017), SIAM J. Optimization 27, 1728-1757, example 3.4; BASBLib nwj_2017_01.
    Best known: F = 2 at x = 2, y = (0, 0). Proof: y >= 0 makes f >= 0, and y = 0 is feasible.
    """
    m, x, y = levels((2, 3), [(0, 10)] * 2)
    m.lower.rows = rows(-(y[1] ** 2) + y[2] ** 2 + y[1] ** 4 + 2 * y[1] ** 2 * y[2] ** 2 + y[2] ** 4 <= 0)
    m.lower.obj = pyo.Objective(expr=x * y[1] + x * y[2])
    m.obj = pyo.Objective(expr=x + y[1] + y[2])
    return m
