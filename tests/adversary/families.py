"""Families of small problems, one per kind of input that brought out a wrong answer, each drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from draw import Draw, free, integer, per, real
from stated_problem import Stated, Variable

FAMILIES: dict[str, Callable[[Draw], Stated]] = {}


def family(make: Callable[[Draw], Stated]) -> Callable[[Draw], Stated]:
    """Enter a function into the table, under its name."""
    FAMILIES[make.__name__] = make
    return make


# -------------------------------------------------------------------------------------------- units, constants, reciprocals


@family
def tracking(d: Draw) -> Stated:
    """A follower that follows, in any units."""
    s, t = d.unit(), d.unit()
    x, y = per("x", s), per("y", t)
    low = d.follower(real("y", 0, 20, t), f"({y} - {d.number(0.3, 2)}*{x} - {d.number(-3, 3)})**2")
    return d.stated(real("x", 0, 10, s), low, f"({x} - {d.number(0, 8)})**2 + ({y} - {d.number(0, 9)})**2")


@family
def two_wells(d: Draw) -> Stated:
    """A follower with two valleys, and perhaps a large constant."""
    t = d.unit()
    y = per("y", t)
    f = f"({y}**2 - 1)**2 + {d.number(0.02, 0.3)}*(x + {d.number(-1.5, 2.5)})*{y}"
    return d.stated(real("x", -1, 1), d.follower(real("y", -2, 2, t), f), f"({y} - {d.number(-1, 1)})**2 + x**2")


def _response(d: Draw, s: str, unit: float) -> str:
    """What spending s brings in, in units of one."""
    k, r = d.number(0.05, 3), d.number(1, 8)
    z = per(s, unit)
    return str(
        d.pick(
            f"{r}*{s}/({s} + {float(f'{k * unit:.6g}')!r})",
            f"{r}*{z}/({z} + {k})",
            f"{r}*{s}**2/({s}**2 + {float(f'{k * unit:.6g}')!r}**2)",
            f"{r}*{z}**{d.number(0.2, 0.9)}",
            f"{r}*log(1 + {z}/{k})",
            f"{r}*(1 - exp(-{z}/{k}))",
            f"{r} - {r * k}/({z} + {k})",
            f"{r}/(1 + exp({d.number(1, 4)} - {z}/{k}))",
        )
    )


@family
def budget(d: Draw) -> Stated:
    """One channel of a marketing budget: saturation below, profit above."""
    unit, least = d.unit(), d.pick(0.01, 0.1, 1.0)
    gain = _response(d, "s", unit)
    low = d.follower(real("s", least, 10, unit), f"-({gain})", ("s <= B",))
    return d.stated(real("B", least, 10, unit), low, f"-({gain}) + {d.number(0.1, 1.5)}*{per('B', unit)}")


@family
def whole_budget(d: Draw) -> Stated:
    """The same with a budget in whole steps."""
    unit = d.unit()
    gain = _response(d, "s", unit)
    low = d.follower(real("s", 1, 10, unit), f"-({gain})", (f"s <= {unit!r}*k",))
    return d.stated(integer("k", 1, 10), low, f"-({gain}) + {d.number(0.1, 1.5)}*k")


@family
def two_channels(d: Draw) -> Stated:
    """Two channels that share a budget, perhaps with a target on the return."""
    unit = d.unit()
    first, second = (f"{d.number(1, 8)}*{v}/({v} + {float(f'{d.number(0.2, 3) * unit:.6g}')!r})" for v in ("s", "t"))
    ends = d.pick((0.0, 6.0), (0.1, 10.0))
    low = d.follower((real("s", *ends, unit), real("t", *ends, unit)), f"-({first} + {second})", ("s + t <= B",))
    rows = (f"{first} + {second} >= {d.number(0.5, 3)}*{per('B', unit)}",) if d.chance(0.4) else ()
    cost = f"{d.number(0.2, 1.5)}*{per('B', unit)}"
    return d.stated(real("B", 1, 10, unit), low, f"{cost} - ({first}) - {d.number(0.2, 1.5)}*({second})", rows)


@family
def reciprocal(d: Draw) -> Stated:
    """Quotients with both levels' variables below the line."""
    s, t = d.unit(), d.unit()
    x, y = per("x", s), per("y", t)
    f = d.pick(
        f"{x}/{y} + {d.number(0.2, 2)}*{y}", f"{y}/({x} + {y}) - {d.number(0.05, 0.3)}*{y}", f"1/({x}*{y}) + {y}"
    )
    above = f"{d.number(0.2, 3)}/{y} + ({x} - {d.number(1, 5)})**2"
    return d.stated(real("x", 0.5, 6, s), d.follower(real("y", 0.1, 5, t), f), above)


@family
def kinked(d: Draw) -> Stated:
    """A weight times an absolute value, as a lasso of one coefficient."""
    t = d.unit()
    y = per("y", t)
    f = f"({y} - {d.number(-3, 3)})**2 + x*abs({y})"
    above = f"({y} - {d.number(-2, 2)})**2 + {d.pick(0, 0, 0, 100, 1000)}"
    return d.stated(real("x", 0, 5), d.follower(real("y", -5, 5, t), f), above)


@family
def softplus(d: Draw) -> Stated:
    """A logistic loss with a penalty that may vanish."""
    f = f"log(1 + exp({d.number(-3, 3)}*y)) + x*y**2"
    return d.stated(
        real("x", 0, 2), d.follower(real("y", -4, 4), f), f"(y - {d.number(-1.5, 1.5)})**2 + {d.pick(0, 0, 0.1)}*x"
    )


@family
def powers(d: Draw) -> Stated:
    """Powers, roots and a zero to a power that the leader chooses."""
    zero = d.pick("", "", "", " + 0.0**x*y")
    f = d.pick(
        f"(y - x**{d.number(0.3, 2.5)})**2{zero}",
        f"y**{d.number(1.2, 3)} - x*y{zero}",
        f"x*y - sqrt(y) {zero}",
        f"exp(-x*y) + {d.number(0.05, 0.5)}*y{zero}",
    )
    return d.stated(
        real("x", 0.1, 3), d.follower(real("y", 0, 9), f), f"(y - {d.number(0, 3)})**2 + {d.number(0, 1)}*x"
    )


@family
def logarithms(d: Draw) -> Stated:
    """A logarithm that has no value on a part of the box."""
    edge = d.number(0, 15)
    f = f"y - x*log(y - {edge})"
    low = d.follower(Variable("y", f"bounds=({edge!r}, 40)", ((edge, 40.0),)), f)
    return d.stated(real("x", 0.5, 10), low, f"(y - {d.number(edge, edge + 12)})**2 + {d.number(0, 2)}*x")


# --------------------------------------------------------------------------------------------------------- linear and bilinear


@family
def linear(d: Draw) -> Stated:
    """Linear on both levels, F and rows in any unit."""
    s, t = d.unit(), d.unit()
    x, y = per("x", s), per("y", t)
    rows = (
        f"{y} <= {d.number(4, 9)} - {d.number(0.1, 1.5)}*{x}",
        f"{y} >= {d.number(-1, 3)} - {d.number(0.1, 1.5)}*{x}",
        f"{y} <= {d.number(1, 5)} + {d.number(0.1, 2)}*{x}",
    )
    low = d.follower(real("y", 0, 10, t), f"{d.pick(1, -1)}*{y}", rows[: d.whole(1, 3)])
    above = (f"{y} <= {d.number(2, 6)}",) if d.chance(0.4) else ()
    return d.stated(real("x", 0, 5, s), low, f"{d.number(-3, 3)}*{x} + {d.number(-3, 3)}*{y}", above)


@family
def linear_two(d: Draw) -> Stated:
    """A linear follower of two variables."""
    t = d.unit()
    y, z = per("y", t), per("z", t)
    rows = (f"{y} + {z} <= {d.number(3, 8)}", f"{y} - {d.number(0.3, 2)}*{z} <= x")
    low = d.follower((real("y", 0, 5, t), real("z", 0, 5, t)), f"{d.number(-3, 1)}*{y} + {d.number(-3, 1)}*{z}", rows)
    return d.stated(real("x", 0, 4), low, f"x + {d.number(-3, 3)}*{y} + {d.number(-3, 3)}*{z}")


@family
def row_forms(d: Draw) -> Stated:
    """Rows as people write them: limits that move, no limit at all, equalities, ranges."""
    t = d.unit()
    y = per("y", t)
    row = d.pick(
        f"pyo.inequality(x - {d.number(0.2, 2)}, {y}, x + {d.number(0.2, 2)})",
        f"pyo.inequality({d.number(0, 2)}, {y}, {d.number(3, 8)})",
        "y <= inf",
        f"{y} == {d.number(0.3, 2)}*x + {d.number(0, 2)}",
        f"{y}**2 <= {d.number(1, 9)} + x",
    )
    low = d.follower(real("y", 0, 20, t), d.pick(f"({y} - {d.number(0, 9)})**2", f"-{y}", y), (row,))
    above = (f"{y} + x >= {d.number(0.5, 2)}", "x <= inf")[: d.whole(0, 2)]
    return d.stated(real("x", 0, 5), low, f"(x - {d.number(0, 5)})**2 + {d.number(-2, 2)}*{y}", above)


@family
def jump(d: Draw) -> Stated:
    """A product of both levels: the answer jumps where the price crosses zero."""
    t = d.unit()
    y = per("y", t)
    low = d.follower(real("y", 0, 1, t), f"(x - {d.number(0.5, 2.5)})*{y}")
    return d.stated(real("x", 0, 3), low, f"{d.number(-3, 3)}*{y} + (x - {d.number(0, 3)})**2")


# ------------------------------------------------------------------------------------------------------------------- domains


@family
def holes(d: Draw) -> Stated:
    """A domain of several pieces, above or below."""
    a, b = d.whole(5, 7), d.whole(8, 11)
    declared, pieces = d.pick(
        (f"pyo.Set(initialize=[0]) | pyo.RangeSet({a}, {b}, 0)", ((0.0, 0.0), (float(a), float(b)))),
        (f"pyo.RangeSet(0, 2, 0) | pyo.RangeSet({a}, {b}, 0)", ((0.0, 2.0), (float(a), float(b)))),
        (f"pyo.Set(initialize=[1, 2.5]) | pyo.RangeSet({a}, {b})",
         ((1.0, 1.0), (2.5, 2.5), *((float(k), float(k)) for k in range(a, b + 1)))),
        ("pyo.Integers - pyo.Set(initialize=[4]), bounds=(0, 9)",
         tuple((float(k), float(k)) for k in range(10) if k != 4)),
        (f"pyo.Set(initialize=[{a}, 0.5, {b}])", ((0.5, 0.5), (float(a), float(a)), (float(b), float(b)))),
        (f"pyo.RangeSet(0, {b}, 2.5)", tuple((2.5 * k, 2.5 * k) for k in range(int(b / 2.5) + 1))),
    )  # fmt: skip
    holed = Variable("w", f"within={declared}", pieces)
    above = f"(w - {d.number(1, 8)})**2 + {d.number(0, 1)}*(y - {d.number(0, 9)})**2"
    if d.chance(0.3):
        return d.stated(real("y", 0, 10), d.follower(holed, "(w - y)**2"), above)
    return d.stated(holed, d.follower(real("y", 0, 20), "(y - w)**2"), above)


@family
def fractional(d: Draw) -> Stated:
    """Integers with fractional bounds."""
    name = d.pick("pyo.Integers", "pyo.Integers", "pyo.NonNegativeIntegers", "pyo.Binary")
    if name == "pyo.Binary":
        w = integer("w", d.pick(0, 0.1), d.pick(0.9, 1.0), name)
    else:
        w = integer("w", d.whole(0, 2) + d.number(0.05, 0.95), d.whole(3, 6) + d.number(0.05, 0.95), name)
    if not w.pieces:
        return _nothing(d, w)
    above = f"{d.pick(-1, 1)}*w + {d.number(-1, 1)}*y"
    if d.chance(0.4):
        return d.stated(real("y", 0, 6), d.follower(w, f"(w - y)**2 + {d.number(0.01, 0.2)}*w"), above)
    return d.stated(w, d.follower(real("y", 0, 20), "(y - w)**2"), above)


def _nothing(d: Draw, w: Variable) -> Stated:
    """A variable that encloses nothing, used or unused, above or below."""
    used = d.chance(0.6)
    term = " + w**2" if used else ""
    x, y = real("x", 0, 10), real("y", 0, 20)
    above = f"(x - 2)**2 + (y - 4)**2{term if d.chance(0.5) else ''}"
    if d.chance(0.5):
        return d.stated((x, w), d.follower(y, f"(y - x)**2{term}"), above, expected="empty")
    return d.stated(x, d.follower((y, w), f"(y - x)**2{term}"), above, expected="empty")


@family
def crossed(d: Draw) -> Stated:
    """Bounds that cross, an integer between two integers, a bound that is no number."""
    high = d.whole(1, 4)
    declared = d.pick(
        f"bounds=({high + d.number(0.001, 3)}, {high})",
        f"within=pyo.Integers, bounds=({high}.2, {high}.8)",
        f"bounds=(float('nan'), {high})",
        f"bounds=({high}, float('nan'))",
        f"within=pyo.NonNegativeReals, bounds=(None, {-high})",
        "within=pyo.Set(initialize=[])",
    )
    return _nothing(d, Variable("w", declared, ()))


@family
def integer_below(d: Draw) -> Stated:
    """An integer follower."""
    t = float(d.pick(1, 1, 1e-3, 1e3, 1e5))
    cost = d.number(-1, 1)
    f = d.pick(
        f"(y - {t!r}*{d.number(0.5, 3)}*x)**2" if t == 1 else f"(y - {d.number(0.5, 3)}*x)**2 + {t!r}*x", f"{cost}*y"
    )
    rows = () if "**" in f else (f"y <= {d.number(1, 3)}*x + {d.number(0, 2)}", f"y >= {d.number(0.1, 0.9)}*x")
    low = d.follower(integer("y", d.pick(0, -0.5), d.pick(9, 9.7)), f, rows)
    upper = d.pick(real("x", 0, 4), integer("x", 0, 4))
    return d.stated(upper, low, f"{d.number(-2, 2)}*x + {d.number(-2, 2)}*y")


@family
def mixed_below(d: Draw) -> Stated:
    """An integer and a real variable below."""
    rows = (f"z <= {d.number(0.5, 2)}*y", f"y + z <= {d.number(3, 6)} + x")
    f = d.pick(f"{d.number(0.1, 2)}*y - {d.number(0.1, 2)}*z", f"(y - x)**2 + (z - {d.number(0, 3)})**2")
    low = d.follower((integer("y", 0, 5.5), real("z", 0, 4)), f, rows)
    return d.stated(real("x", 0, 4), low, f"{d.number(-2, 2)}*x + {d.number(-2, 2)}*y + {d.number(-2, 2)}*z")


# ------------------------------------------------------------------------------------------------------------------ followers


@family
def equal_followers(d: Draw) -> Stated:
    """The same follower two or three times."""
    names, unit = ("y", "z", "v")[: d.whole(2, 3)], d.unit()
    f = f"({per('y', unit)} - {d.number(0.3, 2)}*x)**2 + {d.number(0, 1)}*{per('y', unit)}"
    first = d.follower(real("y", 0, 10, unit), f)
    lows = tuple(
        replace(
            first,
            name=f"low{k}",
            variables=(real(name, 0, 10, unit),),
            objective=first.objective.replace("y", name),
            plain=first.plain.replace("y", name),
        )
        for k, name in enumerate(names)
    )
    total = " + ".join(per(name, unit) for name in names)
    return d.stated(real("x", 0, 5), lows, f"({total} - {d.number(2, 12)})**2 + {d.number(0, 1)}*x")


@family
def several_followers(d: Draw) -> Stated:
    """Two followers of different kinds."""
    s, t = d.unit(), d.unit()
    y, z = per("y", s), per("z", t)
    one = d.follower(real("y", 0, 10, s), f"({y} - x)**2 + {d.number(0, 1)}*{y}", name="one")
    kinds = (
        f"{d.number(0.1, 3)}*{z} - x*log(1 + {z})",
        f"({z} - {d.number(1, 5)})**2 + x*{z}",
        f"{z}**2/(1 + x) - {z}",
    )
    two = d.follower(real("z", 0, 10, t), d.pick(*kinds), name="two")
    return d.stated(real("x", 0, 5), (one, two), f"({y} - {z} - {d.number(-2, 2)})**2 + {d.number(0, 1)}*x")


@family
def coupling(d: Draw) -> Stated:
    """A row of the leader's in which the follower's answer stands, at times one that nothing meets."""
    t = d.unit()
    y = per("y", t)
    low = d.follower(real("y", 0, 10, t), d.pick(f"({y} - x)**2", f"{y}**2 - x*{y}", f"-{y}"), (f"{y} <= 2*x + 1",))
    row = d.pick(
        f"{y} <= {d.number(2, 6)}",
        f"{y} + x <= {d.number(3, 9)}",
        f"{y} >= {d.number(1, 4)}",
        f"{y} - 3*x >= {d.number(0.2, 2)}",
    )
    return d.stated(real("x", 0, 6), low, f"{d.number(-2, 2)}*x + {d.number(-2, 2)}*{y}", (row,))


@family
def two_leaders(d: Draw) -> Stated:
    """Two upper variables, and a row over them."""
    s = d.unit()
    w = per("w", s)
    f = d.pick(f"(y - x*{w})**2", f"y**2 - x*y + {w}*y", f"(y - x)**2 + {w}*abs(y)", f"exp(0.3*y) - (x + {w})*y")
    rows = (f"x + {w} <= {d.number(2, 5)}",) if d.chance(0.5) else ()
    above = f"(y - {d.number(-1, 4)})**2 + (x - {d.number(0, 3)})**2 + {d.number(0, 1)}*{w}"
    return d.stated((real("x", 0, 3), real("w", 0, 3, s)), d.follower(real("y", -2, 8), f), above, rows)


@family
def unbounded_variables(d: Draw) -> Stated:
    """No bounds on the leader, the follower, or both; curved enough that the optimum is finite."""
    x = d.pick(free("x", -60.0, 60.0), real("x", -10, 10), free("x", 0.0, 60.0, below=False))
    y = d.pick(free("y", -300.0, 300.0), free("y", 0.0, 300.0, below=False))
    f = d.pick(
        f"(y - x - {d.number(-2, 2)})**2",
        f"{d.number(0.1, 1)}*y**4 - x*y**2 + {d.number(-1, 1)}*y",
        f"exp({d.number(0.02, 0.2)}*y) - {d.number(0.5, 2)}*y + (y - x)**2",
    )
    return d.stated(x, d.follower(y, f), f"(x - {d.number(-4, 4)})**2 + {d.number(0.1, 2)}*(y - {d.number(-4, 4)})**2")


@family
def no_answer(d: Draw) -> Stated:
    """A follower that has no answer, or no bounded one, at some x."""
    edge = d.number(0.5, 3.5)
    kind = d.pick("empty", "endless", "edge")
    if kind == "empty":
        low = d.follower(real("y", 0, 5), d.pick("y", "-y", "(y - 1)**2"), (f"y <= x - {edge}",))
    elif kind == "endless":
        # At the edge every y is an answer: were F to fall in y it would be unbounded there, at an x that no grid meets.
        low = d.follower(free("y", 0.0, 1e4, below=False), f"(x - {edge})*y")
        return d.stated(real("x", 0, 5), low, f"{d.pick(1, -1)}*x + {d.number(0.1, 1)}*y")
    else:
        low = d.follower(real("y", 0, 5), "(y - x)**2", (f"y*x >= {edge}", f"y + x <= {d.number(4, 6)}"))
    return d.stated(real("x", 0, 5), low, f"{d.pick(1, -1)}*x + {d.number(-1, 1)}*y")


@family
def leaders_own_below(d: Draw) -> Stated:
    """A lower variable that only F mentions."""
    y = real("y", 0, 20)
    z, above = d.pick(
        (real("z", -3, 4), f"{d.pick(1, -1)}*z"),
        (integer("z", -2.5, 3.5), f"(z - {d.number(-2, 3)})**2"),
        (free("z", -50.0, 50.0), f"(z - {d.number(-2, 3)})**2"),
        (free("z", 0.0, 50.0, below=False), f"z + {d.number(0, 1)}*z*x"),
    )
    return d.stated(
        real("x", 0, 10),
        d.follower((y, z), "(y - x)**2"),
        f"(x - 2)**2 + (y - {d.number(0, 6)})**2 + {above}",
        free=("z",),
    )


# --------------------------------------------------------------------------------------------------- neither a point nor a bound


@family
def infeasible(d: Draw) -> Stated:
    """Nothing meets both levels: by an upper row, by the follower's rows, or by what he answers."""
    s = d.unit()
    x, y = per("x", s), per("y", s)
    top = real("x", 0, 5, s)
    kind = d.pick("above", "below", "answer")
    above = f"{x} + {y}"
    if kind == "above":
        return d.stated(
            top, d.follower(real("y", 0, 5, s), f"({y} - {x})**2"), above, (f"{x} >= 5.5",), expected="infeasible"
        )
    if kind == "below":
        low = d.follower(real("y", 0, 5, s), f"({y} - {x})**2", (f"{y} >= {x} + 6",))
        return d.stated(top, low, above, expected="infeasible")
    low = d.follower(real("y", 0, 5, s), f"({y} - {x})**2")
    return d.stated(top, low, above, (f"{y} <= {x} - {d.number(0.2, 1)}",), expected="infeasible")


@family
def endless(d: Draw) -> Stated:
    """F has no lower bound."""
    kind = d.pick("leader", "own", "follower")
    c = d.number(0.1, 2)
    if kind == "leader":
        low = d.follower(free("y", -1e3, 1e3), f"(y - {c}*x)**2")
        return d.stated(free("x", 0.0, 1e2, below=False), low, f"y - {c + d.number(0.1, 2)}*x", expected="unbounded")
    if kind == "own":
        low = d.follower((real("y", 0, 20), free("z", -1e2, 1e2)), "(y - x)**2")
        return d.stated(real("x", 0, 10), low, f"(x - 2)**2 + {d.pick(1, -1)}*z", expected="unbounded", free=("z",))
    low = d.follower(real("y", 0, 5), "(y - 1)**2")
    return d.stated(free("x", -1e2, 1e2), low, f"x**{d.pick(1, 3)} + y", expected="unbounded")
