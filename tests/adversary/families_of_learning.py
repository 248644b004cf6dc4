"""Families of what engines and paths of their own are for: losses with kinks, rows, budgets, interdiction."""

from __future__ import annotations

from draw import Draw, integer, per, real
from families import family
from stated_problem import Stated


def _points(d: Draw, count: int) -> list[tuple[float, float]]:
    """A feature and a class, -1 or 1, of some rows."""
    return [(d.number(-2, 2), float(d.pick(-1, 1))) for _ in range(count)]


@family
def lasso(d: Draw) -> Stated:
    """An absolute value in a penalty, as people write it: abs, a difference of two parts, a bound on both sides."""
    c, b, rows = d.number(-3, 3), d.number(-2, 2), d.pick((1.0,), (0.5, -2.0), (1.0, 0.3, -0.7))
    weight = d.pick("x", "x", "10.0**x", "x**2")
    x = real("x", -3, 1) if weight == "10.0**x" else real("x", 0, 5)
    written = d.pick("abs", "split", "bound", "two")

    def squares(y: str) -> str:
        return " + ".join(f"({a}*{y} - {float(f'{a * c + 0.3 * k:.4g}')})**2" for k, a in enumerate(rows))

    if written == "abs":
        t = d.unit()
        y = per("y", t)
        return d.stated(x, d.follower(real("y", -6, 6, t), f"{squares(y)} + {weight}*abs({y})"), f"({y} - {b})**2")
    if written == "split":
        both = (real("u", 0, 6), real("v", 0, 6))
        return d.stated(x, d.follower(both, f"{squares('(u - v)')} + {weight}*(u + v)"), f"(u - v - {b})**2")
    if written == "bound":
        low = d.follower((real("y", -6, 6), real("t", 0, 6)), f"{squares('y')} + {weight}*t", ("t >= y", "t >= -y"))
        return d.stated(x, low, f"(y - {b})**2")
    f = f"{squares('(y + z)')} + (y - {d.number(-1, 1)})**2 + {weight}*(abs(y) + {d.pick(1.0, 0.5)}*abs(z))"
    return d.stated(
        x, d.follower((real("y", -6, 6), real("z", -6, 6)), f), f"(y - {b})**2 + (z - {d.number(-1, 1)})**2"
    )


@family
def hinge(d: Draw) -> Stated:
    """A support vector machine of one feature, the penalty on either side."""
    losses = " + ".join(f"maximum([0.0, 1 - {t}*({a}*w + b)])" for a, t in _points(d, d.whole(3, 5)))
    ridge = "0.5*w**2 + 0.05*b**2"
    f = d.pick(f"{ridge} + x*({losses})", f"x*({ridge}) + {losses}")
    above = f"(w - {d.number(-1, 2)})**2 + (b - {d.number(-1, 1)})**2"
    return d.stated(real("x", 0.05, 5), d.follower((real("w", -4, 4), real("b", -4, 4)), f), above)


@family
def quantile(d: Draw) -> Stated:
    """The quantile of a few numbers, its level or its ridge chosen above."""
    targets = [d.number(-3, 3) for _ in range(d.whole(2, 5))]
    level = d.pick("x", f"{d.number(0.1, 0.9)}")
    ridge = d.number(0.05, 0.5) if level == "x" else "x"
    losses = " + ".join(f"maximum([{level}*({t} - y), ({level} - 1)*({t} - y)])" for t in targets)
    low = d.follower(real("y", -4, 4), f"{losses} + {ridge}*y**2")
    return d.stated(real("x", 0.05, 0.95), low, f"(y - {d.number(-2, 2)})**2")


@family
def loss_rows(d: Draw) -> Stated:
    """A loss over rows that stay arrays, with a ridge."""
    loss = d.pick("logistic", "poisson", "huber", "squared_hinge")
    points = _points(d, d.pick(3, 6, 30))
    target = tuple(t if loss in ("logistic", "squared_hinge") else float(d.whole(0, 3)) for _, t in points)
    rows = tuple((a,) for a, _ in points)
    f = f"rows_of('{loss}', {rows!r}, (y,), {target!r}) + {d.pick('x', '10.0**x')}*y**2"
    x = real("x", -2, 1) if "10.0" in f else real("x", 0.05, 4)
    return d.stated(x, d.follower(real("y", -3, 3), f), f"(y - {d.number(-1, 1)})**2 + {d.number(0, 0.2)}*x")


def _s_shape(d: Draw, v: str, unit: float) -> str:
    """A response that is convex at first."""
    k, r = d.number(1.5, 4), d.number(1, 6)
    z = per(v, unit)
    return str(d.pick(f"{r}*{z}**2/({z}**2 + {k**2:.4g})", f"{r}/(1 + exp({k} - {z}))", f"{r}*{z}/({z} + {k})"))


@family
def allocation(d: Draw) -> Stated:
    """A budget split over two channels with responses of any shape, by whose return the leader goes, or by another."""
    unit = d.unit()
    first, second = _s_shape(d, "s", unit), _s_shape(d, "t", unit)
    low = d.follower((real("s", 0, 8, unit), real("t", 0, 8, unit)), f"-({first} + {second})", ("s + t <= B",))
    share = d.number(0.4, 1.5)
    gain = d.pick(f"{first} + {second}", f"{first} + {d.number(0.3, 2)}*({second})")
    rows = (f"{first} + {second} >= {d.number(0.2, 0.8)}*{per('B', unit)}",) if d.chance(0.3) else ()
    return d.stated(real("B", 1, 10, unit), low, f"{d.number(0.1, 0.8)}*{per('B', unit)} - {share}*({gain})", rows)


@family
def agreeing(d: Draw) -> Stated:
    """Leader and follower want the same, but for what x alone costs."""
    f = d.pick(
        f"(y - {d.number(0, 4)})**2 - {d.number(0.2, 2)}*x*y",
        f"(y**2 - {d.number(1, 4)})**2 + {d.number(-1, 1)}*x*y",
        f"exp(0.4*y) - {d.number(0.5, 2)}*y + (y - x)**2*{d.number(0, 1)}",
        f"{d.number(0.5, 3)}/(y + 0.5) + abs(y - x)",
    )
    low = d.follower(real("y", 0, 5), f, (f"y <= {d.number(1, 3)} + x",)[: d.whole(0, 1)])
    rows = (f"{f} <= {d.number(1, 4)} + 2*x",) if d.chance(0.3) else ()
    return d.stated(real("x", 0, 4), low, f"{d.number(0.3, 3)}*({f}) + (x - {d.number(0, 4)})**2", rows)


@family
def one_penalty(d: Draw) -> Stated:
    """A quadratic follower whose costs or limits move along a line."""
    c = d.number(-0.9, 0.9)
    f = f"y**2 + z**2 + {c}*y*z - {d.number(-3, 3)}*y - {d.number(-3, 3)}*z"
    kind = d.pick("costs", "limits", "both")
    f = f"{f} + x*({d.number(-1, 1)}*y + {d.number(-1, 1)}*z)" if kind != "limits" else f
    rows = (f"y + {d.number(0.3, 2)}*z <= {d.number(0.2, 2)} + {'x' if kind != 'costs' else 0}",)
    low = d.follower((real("y", -3, 3), real("z", d.pick(-3, 0), 3)), f, rows)
    above = f"(y - {d.number(-2, 2)})**2 + (z - {d.number(-2, 2)})**2 + {d.number(-0.5, 0.5)}*x"
    return d.stated(real("x", 0, 4), low, above)


@family
def interdiction(d: Draw) -> Stated:
    """What a leader forbids a follower who fills a knapsack."""
    most = d.whole(1, 3)
    worth = d.number(1, 5), d.number(1, 5)
    rows = (
        f"y <= {most}*(1 - w)",
        f"z <= {most}*(1 - v)",
        f"{d.number(1, 3)}*y + {d.number(1, 3)}*z <= {d.number(2, 7)}",
    )
    low = d.follower((integer("y", 0, most), integer("z", 0, most)), f"-({worth[0]}*y + {worth[1]}*z)", rows)
    gain = d.pick(f"{worth[0]}*y + {worth[1]}*z", f"{d.number(0.5, 5)}*y - {d.number(0.5, 5)}*z")
    above = (f"w + v <= {d.pick(1, 2)}",)
    binaries = (integer("w", 0, 1, "pyo.Binary"), integer("v", 0, 1, "pyo.Binary"))
    return d.stated(binaries, low, f"{gain} + {d.number(0, 1)}*w + {d.number(0, 1)}*v", above)


@family
def support_vector_regression(d: Draw) -> Stated:
    """Losses that start beyond a tube, the width of the tube or the weight being the leader's."""
    points = [(d.number(-2, 2), d.number(-2, 2)) for _ in range(d.whole(3, 5))]
    width, weight = d.pick(("x", "1.0"), (f"{d.number(0.05, 0.6)}", "x"), ("0.2*x", "10.0**(x - 1)"))
    rows = [f"{t} - {a}*w - b" for a, t in points]
    if d.chance(0.5):
        losses = " + ".join(f"maximum([0.0, {r} - {width}, -({r}) - {width}])" for r in rows)
    else:
        losses = " + ".join(f"maximum([0.0, abs({r}) - {width}])" for r in rows)
    f = f"0.5*w**2 + {d.number(0.02, 0.3)}*b**2 + {weight}*({losses})"
    above = f"(w - {d.number(-1.5, 1.5)})**2 + (b - {d.number(-1, 1)})**2"
    return d.stated(real("x", 0.05, 2.5), d.follower((real("w", -4, 4), real("b", -4, 4)), f), above)


@family
def elastic_net(d: Draw) -> Stated:
    """Least squares with both penalties, either or both of them the leader's, by abs or by two parts."""
    rows = [(d.number(-2, 2), d.number(-2, 2), d.number(-3, 3)) for _ in range(d.whole(3, 5))]
    squares = " + ".join(f"({a}*y + {b}*z - {t})**2" for a, b, t in rows)
    one, two = d.pick(("x", f"{d.number(0.05, 1)}"), (f"{d.number(0.1, 2)}", "x"), ("x", "x"), ("x*0.4", "x*(1 - 0.4)"))
    f = f"{squares} + {one}*(abs(y) + {d.pick(1.0, 1.0, 0.6)}*abs(z)) + {two}*(y**2 + z**2)"
    rest = " + ".join(f"({a}*y + {b}*z - {t})**2" for a, b, t in [(d.number(-2, 2), 1.0, d.number(-2, 2))] * 2)
    above = d.pick(rest, f"(y - {d.number(-1, 1)})**2 + (z - {d.number(-1, 1)})**2")
    x = real("x", 0, 4) if d.chance(0.7) else real("x", 0.1, 2)
    return d.stated(x, d.follower((real("y", -6, 6), real("z", -6, 6)), f), above)


@family
def tied_penalty(d: Draw) -> Stated:
    """A path in one penalty along which the answer is no single point: flat between the kinks of loss and penalty."""
    a, t = d.number(0.5, 2), d.number(-2, 2)
    loss = d.pick(
        f"maximum([0.0, abs({a}*y - {t}) - {d.number(0.2, 1)}])", f"maximum([0.0, 1 - {a}*y, {a}*y - {t} - 2])"
    )
    penalty = d.pick(f"maximum([0.0, abs(y) - {d.number(0.2, 1)}])", f"maximum([0.0, y - {d.number(0, 1)}])")
    weight = d.pick("x", "x", f"(x - {d.number(0, 2)})**2")
    low = d.follower(real("y", -3, 3), f"{loss} + {weight}*{penalty}")
    return d.stated(real("x", 0, 3), low, f"(y - {d.number(-2, 2)})**2 + {d.number(-0.3, 0.3)}*x")


@family
def larger_knapsack(d: Draw) -> Stated:
    """Who forbids what to a follower of four things, all or nothing or several of each."""
    names = ("p", "q", "r", "s")
    most = {name: d.pick(1, 1, 2) for name in names}
    weight = {name: d.whole(1, 6) for name in names}
    worth = {name: d.number(1, 6) for name in names}
    rows = tuple(f"{name} <= {most[name]}*(1 - f{name})" for name in names)
    room = sum(most[n] * weight[n] for n in names) * d.number(0.3, 0.7)
    rows += (" + ".join(f"{weight[n]}*{n}" for n in names) + f" <= {room:.4g}",)
    gain = " + ".join(f"{worth[n]}*{n}" for n in names)
    low = d.follower(tuple(integer(n, 0, most[n]) for n in names), f"-({gain})", rows)
    own = gain if d.chance(0.7) else " + ".join(f"{d.number(-2, 5)}*{n}" for n in names)
    above = (" + ".join(f"{d.whole(1, 3)}*f{n}" for n in names) + f" <= {d.whole(2, 5)}",)
    return d.stated(tuple(integer(f"f{n}", 0, 1, "pyo.Binary") for n in names), low, own, above)


@family
def kinked_boxes(d: Draw) -> Stated:
    """Two upper variables over a strongly convex follower with kinks that move, kinks above as well."""
    kink = d.pick(
        f"{d.number(0.2, 2)}*abs(y - x)", f"maximum([0.0, y - w, {d.number(0.5, 2)}*(x - y)])", "w*abs(y - 1)"
    )
    f = f"(y - {d.number(-1, 2)})**2 + {kink} + {d.number(-1, 1)}*{d.pick('x*y', 'w*y', 'x*w*y')}"
    above = d.pick(
        f"abs(y - {d.number(-1, 2)}) + {d.number(0.1, 1)}*(x - {d.number(0, 2)})**2 + {d.number(0.1, 1)}*w",
        f"maximum([y - x, {d.number(-1, 1)} - y]) + {d.number(0.1, 1)}*(x + w - {d.number(0, 3)})**2",
    )
    rows = (f"x + w <= {d.number(1, 3)}",)[: d.whole(0, 1)]
    return d.stated((real("x", 0, 2), real("w", 0, 2)), d.follower(real("y", -3, 4), f), above, rows)


@family
def sides(d: Draw) -> Stated:
    """Linear levels: a follower of two variables, rows that move with x, and a coupling row at times."""
    rows = tuple(
        f"{d.number(-1, 2)}*y + {d.number(-1, 2)}*z <= {d.number(1, 5)} + {d.number(-1, 1)}*x"
        for _ in range(d.whole(2, 4))
    )
    f = f"{d.number(-3, 2)}*y + {d.number(-3, 2)}*z" + (f" + x*{d.number(-1, 1)}" if d.chance(0.3) else "")
    low = d.follower((real("y", 0, 4), real("z", 0, 4)), f, rows)
    above = (f"{d.number(-1, 1)}*y + z <= {d.number(1, 4)} + x",) if d.chance(0.4) else ()
    own = " + ".join(f"{d.number(-3, 3)}*{name}" for name in ("x", "y", "z"))
    return d.stated(real("x", 0, 3), low, own, above)


@family
def valleys(d: Draw) -> Stated:
    """Nonconvex followers of two variables, bounded, of which the deepest valley changes with x."""
    f = d.pick(
        f"(y**2 - 1)**2 + (z**2 - {d.number(0.5, 2)})**2 + {d.number(-1, 1)}*y*z + (x - 1)*{d.number(0.2, 1)}*y",
        f"(y**2 - {d.number(0.5, 2)})**2 + (z - x*y)**2 + {d.number(-0.5, 0.5)}*y + {d.number(0.1, 0.5)}*x*z",
        f"y**3 - {d.number(1, 3)}*y + {d.number(0.5, 2)}*y*z*(x - 1) + (z - {d.number(-1, 1)})**2",
    )
    above = f"(y - {d.number(-1, 1)})**2 + (z - {d.number(-1, 1)})**2 + {d.number(0.1, 1)}*(x - {d.number(0, 2)})**2"
    return d.stated(real("x", 0, 2), d.follower((real("y", -2, 2), real("z", -2, 2)), f), above)
