"""The upper search space: what the domains of the upper variables say, and which points the upper constraints allow.

A point is a tuple of coordinates, one per dimension: the place in the list for a sequence, the integer itself for an
integer, the value for a real. Searches see the unit box, where a sequence of K values lies on the lattice
``k / (K - 1)``, an integer likewise, and a real linearly or in logarithms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.contracts.engine import Point
from bilevel.errors import SpaceError
from bilevel.graphs.compiled import Array, Compiled
from bilevel.language.domains import between, scale_of
from bilevel.programs.compilation import Compilation, is_category, numeric_bounds
from bilevel.upper.conditions import Condition, at_rest, read_conditions


@dataclass(frozen=True)
class Dimension:
    """One upper variable as the search sees it.

    Attributes
    ----------
    name : str
        Of the component.
    lower, upper : float
        Bounds of the coordinate; 0 and K - 1 for a sequence.
    scale : str
        ``linear`` or ``log``; only reals.
    values : tuple or None
        The sequence, in order.
    integer : bool
        Whether the coordinate is an integer (sequences included).
    categorical : bool
        Whether neighbours in the sequence mean nothing: it holds strings.
    """

    name: str
    lower: float
    upper: float
    scale: str = "linear"
    values: tuple[Any, ...] | None = None
    integer: bool = False
    categorical: bool = False

    @property
    def size(self) -> float:
        """Number of different coordinates; infinite for a real."""
        if self.integer:
            return self.upper - self.lower + 1
        return 1.0 if self.upper == self.lower else math.inf

    def value(self, coordinate: float) -> Any:
        """What the variable takes at a coordinate."""
        if self.values is not None:
            return self.values[int(coordinate)]
        return int(coordinate) if self.integer else float(coordinate)

    def coordinate(self, value: Any) -> float:
        """The coordinate of a value: the nearest one where a number is not exactly in the space."""
        if self.values is not None:
            if value in self.values:
                return self.values.index(value)
            if self.categorical or not isinstance(value, (int, float)):
                raise SpaceError(f"{self.name}: {value!r} is not in its list")
            return int(np.argmin([abs(v - value) for v in self.values]))
        clipped = min(max(float(value), self.lower), self.upper)
        return round(clipped) if self.integer else clipped

    def to_unit(self, coordinate: float) -> float:
        """The coordinate's place on [0, 1]."""
        if self.upper == self.lower:
            return 0.0
        if self.scale == "log":
            return math.log(coordinate / self.lower) / math.log(self.upper / self.lower)
        return (coordinate - self.lower) / (self.upper - self.lower)

    def from_unit(self, unit: float) -> float:
        """The coordinate nearest to a place on [0, 1]."""
        unit = min(max(float(unit), 0.0), 1.0)
        if self.integer:
            return int(self.lower + math.floor(unit * (self.upper - self.lower) + 0.5))
        if unit in (0.0, 1.0):
            return float(self.upper if unit else self.lower)
        if self.scale == "log":
            return min(max(float(self.lower * (self.upper / self.lower) ** unit), self.lower), self.upper)
        return min(max(self.lower + unit * (self.upper - self.lower), self.lower), self.upper)


class Space:
    """The set of upper points a search may propose.

    Attributes
    ----------
    dimensions : tuple of Dimension
        In the order of the problem's upper variables.
    start : Point or None
        The point the user's initial values give, where all are given and it is allowed.
    conditions : tuple of Condition
        Which dimensions are active where; inactive ones rest, and no other point is in the space.
    """

    conditions: tuple[Condition, ...] = ()

    def __init__(self, compilation: Compilation) -> None:
        problem = compilation.problem
        self.dimensions = tuple(_dimension(var, compilation) for var in problem.variables)
        self.names = tuple(d.name for d in self.dimensions)
        self.conditions = read_conditions(problem.conditions, self.dimensions)
        rows, self._row_lower, self._row_upper = compilation.rows(problem.x_only)
        self._rows_symbol, self._x = rows, compilation.x
        self._compiled = Compiled([compilation.x], [rows]) if rows.numel() else None
        self._predicates = [(a, [self._place(v) for v in a.variables]) for a in problem.allowed]
        self._names_of_rows = [c.name for c in problem.x_only]
        self.start = self._initial(problem.variables)

    def _place(self, var: Any) -> int:
        if var.name not in self.names:
            raise SpaceError(f"Allowed mentions {var.name}, which is not a free upper variable")
        return self.names.index(var.name)

    def _initial(self, variables: Any) -> Point | None:
        if any(var.value is None for var in variables):
            return None
        try:
            given = tuple(d.coordinate(var.value) for d, var in zip(self.dimensions, variables, strict=True))
            point = self.canonical(given)
        except SpaceError:
            return None
        return point if self.allows(point) else None

    @property
    def size(self) -> float:
        """Number of lattice points, those that constraints rule out included; infinite with a real dimension."""
        return math.prod(d.size for d in self.dimensions)

    @property
    def constrained(self) -> bool:
        """Whether any upper constraint, predicate or condition over x alone rules points out."""
        return self._compiled is not None or bool(self._predicates) or bool(self.conditions)

    def canonical(self, point: Point) -> Point:
        """The point that stands for all which differ from this one in inactive dimensions alone."""
        return at_rest(point, self.conditions) if self.conditions else point

    def values(self, point: Point) -> dict[str, Any]:
        """What the upper variables take at a point, by name."""
        return {d.name: d.value(c) for d, c in zip(self.dimensions, point, strict=True)}

    def vector(self, point: Point) -> Array:
        """The point as compiled functions take it: values, and a category's number."""
        return np.array(
            [
                c if d.values is None or d.categorical else d.values[int(c)]
                for d, c in zip(self.dimensions, point, strict=True)
            ],
            dtype=float,
        )

    def point(self, values: dict[str, Any]) -> Point:
        """The point nearest to some values, by name."""
        return self.canonical(tuple(d.coordinate(values[d.name]) for d in self.dimensions))

    def to_unit(self, point: Point) -> Array:
        """The point's place in the unit box, shape (d,)."""
        return np.array([d.to_unit(c) for d, c in zip(self.dimensions, point, strict=True)])

    def from_unit(self, unit: Array) -> Point:
        """The point nearest to a place in the unit box."""
        return self.canonical(tuple(d.from_unit(u) for d, u in zip(self.dimensions, unit, strict=True)))

    def lattice(self) -> Iterator[Point]:
        """Every point of a finite space in lexicographic order, those that constraints rule out included."""
        if not math.isfinite(self.size):
            raise SpaceError("a space with a real dimension cannot be enumerated; discretize it")
        axes = [range(int(d.lower), int(d.upper) + 1) if d.integer else (d.lower,) for d in self.dimensions]
        return itertools.product(*axes)

    def neighbours(self, point: Point) -> Iterator[Point]:
        """Allowed points that differ in one discrete coordinate: one step of a list or integer, any of a category."""
        for k, d in enumerate(self.dimensions):
            if not d.integer:
                continue
            here = int(point[k])
            around = range(int(d.lower), int(d.upper) + 1) if d.categorical else (here - 1, here + 1)
            for level in around:
                moved = self.canonical((*point[:k], level, *point[k + 1 :]))
                if moved != point and d.lower <= level <= d.upper and self.allows(moved):
                    yield moved

    def violation(self, point: Point) -> float:
        """Largest relative violation of an upper constraint over x alone; infinite where a predicate is false."""
        for allowed, places in self._predicates:
            if not allowed.holds([self.dimensions[k].value(point[k]) for k in places]):
                return math.inf
        if self._compiled is None:
            return 0.0
        (rows,) = self._compiled(self.vector(point))
        excess = np.maximum(self._row_lower - rows, rows - self._row_upper)
        limits = np.where(np.isfinite(self._row_upper), self._row_upper, self._row_lower)
        worst = float((excess / np.maximum(1.0, np.abs(limits))).max())
        return math.inf if math.isnan(worst) else max(0.0, worst)

    def allows(self, point: Point) -> bool:
        """Whether a point is in the space."""
        if not self.constrained:
            return True
        return self.canonical(point) == point and self.violation(point) <= tolerances.FEASIBILITY * 0.1

    def unit_slopes(self, point: Point) -> Array:
        """Derivative of each value by its unit coordinate at a point, shape (d,); of no use for discrete ones."""
        slopes = [
            c * math.log(d.upper / d.lower) if d.scale == "log" else d.upper - d.lower
            for d, c in zip(self.dimensions, point, strict=True)
        ]
        return np.array(slopes, dtype=float)

    def unit_bends(self, point: Point) -> Array:
        """Second derivative of each value by its unit coordinate at a point, shape (d,)."""
        bends = [
            c * math.log(d.upper / d.lower) ** 2 if d.scale == "log" else 0.0
            for d, c in zip(self.dimensions, point, strict=True)
        ]
        return np.array(bends, dtype=float)

    def unit_constraints(self, unit: Array, free: Any) -> list[dict[str, Any]]:
        """The constraints over x alone as SciPy takes them, in the free unit coordinates, the rest held at ``unit``."""
        if self._compiled is None:
            return []
        jacobian = Compiled([self._x], [ca.jacobian(self._rows_symbol, self._x)])
        equal = self._row_lower == self._row_upper
        found = []
        for kind, sign, limits, rows in (
            ("eq", 1.0, self._row_upper, equal),
            ("ineq", -1.0, self._row_upper, ~equal & np.isfinite(self._row_upper)),
            ("ineq", 1.0, self._row_lower, ~equal & np.isfinite(self._row_lower)),
        ):
            if rows.any():
                found.append(self._unit_rows(kind, sign, limits[rows], rows, (unit, free, jacobian)))
        return found

    def _unit_rows(
        self, kind: str, sign: float, limits: Array, rows: Any, held: tuple[Array, Any, Compiled]
    ) -> dict[str, Any]:
        unit, free, jacobian = held
        assert self._compiled is not None
        compiled = self._compiled

        def at(moved: Array) -> Point:
            full = unit.copy()
            full[free] = np.clip(moved, 0.0, 1.0)
            return self.from_unit(full)

        def value(moved: Array) -> Array:
            excess: Array = sign * (compiled(self.vector(at(moved)))[0][rows] - limits)
            return excess

        def slope(moved: Array) -> Array:
            point = at(moved)
            matrix = jacobian(self.vector(point))[0].reshape(len(rows), len(unit), order="F")
            moved_rows: Array = sign * (matrix * self.unit_slopes(point))[np.ix_(rows, free)]
            return moved_rows

        return {"type": kind, "fun": value, "jac": slope}

    def draw(self, unit: Array) -> Point | None:
        """The allowed point at a place in the unit box, or the nearest one a projection finds, or None.

        Discrete coordinates stay; continuous ones are moved onto the constraints over x alone where the point breaks
        them.
        """
        return self.nearest(self.from_unit(unit))

    def nearest(self, point: Point) -> Point | None:
        """The point itself where it is allowed, else as :meth:`draw` moves it."""
        point = self.canonical(point)
        return point if self.allows(point) else self._projected(point)

    @cached_property
    def has_equalities(self) -> bool:
        """Whether an upper constraint over x alone is an equality, which no lattice of reals meets."""
        return bool((self._row_lower == self._row_upper).any())

    @cached_property
    def _projection(self) -> ca.Function:
        """``(point, lower, upper) -> nearest x`` with the discrete coordinates held by their bounds."""
        target, spread = ca.SX.sym("target", len(self.names)), ca.SX.sym("spread", len(self.names))
        problem = {"x": self._x, "p": ca.vertcat(target, spread), "g": self._rows_symbol}
        problem["f"] = ca.sumsqr((self._x - target) / spread)
        options = {
            "ipopt.print_level": 0,
            "print_time": False,
            "ipopt.sb": "yes",
            "ipopt.tol": 1e-10,
            "ipopt.max_iter": 200,
            "error_on_fail": False,
        }
        options |= {
            "show_eval_warnings": False,
            "calc_lam_p": False,
            "ipopt.constr_viol_tol": 1e-9,
            "ipopt.honor_original_bounds": "yes",
        }
        return ca.nlpsol("projection", "ipopt", problem, options)

    def _projected(self, point: Point) -> Point | None:
        if self._compiled is None or all(d.integer for d in self.dimensions):
            return None
        x = self.vector(point)
        movable = np.array([not d.integer for d in self.dimensions])
        lower = np.where(movable, [d.lower for d in self.dimensions], x)
        upper = np.where(movable, [d.upper for d in self.dimensions], x)
        spread = np.where(movable, [max(d.upper - d.lower, 1e-12) for d in self.dimensions], 1.0)
        solution = self._projection(
            x0=x, p=np.concatenate([x, spread]), lbx=lower, ubx=upper, lbg=self._row_lower, ubg=self._row_upper
        )
        moved = np.clip(solution["x"].full()[:, 0], lower, upper)
        found = self.canonical(tuple(float(m) if free else c for m, free, c in zip(moved, movable, point, strict=True)))
        return found if self.allows(found) else None


def _dimension(var: Any, compilation: Compilation) -> Dimension:
    domain = var.domain
    lower, upper = numeric_bounds(var)
    if is_category(var):
        values = tuple(domain)
        return Dimension(var.name, 0, len(values) - 1, values=values, integer=True, categorical=True)
    if domain.isfinite() and not (var.is_binary() or var.is_integer()):
        values = tuple(v for v in domain if between(v, lower, upper))
        if not values:
            raise SpaceError(f"{var.name}: no value of its domain lies within its bounds ({lower}, {upper})")
        return Dimension(var.name, 0, len(values) - 1, values=values, integer=True)
    if lower is None or upper is None:  # rows may bound it: x_1 + x_2 <= 3
        lower, upper = compilation.ranges[var.name]
    if not (math.isfinite(lower) and math.isfinite(upper)):
        raise SpaceError(
            f"{var.name} has the bounds ({lower}, {upper}): a search needs both; write Var(bounds=(lower, upper))"
        )
    if lower > upper:
        raise SpaceError(f"{var.name} has the bounds ({lower}, {upper}), which leave it no value")
    if not var.is_continuous():
        if domain.isfinite() and len(domain) <= 1_000_000 and not _is_range(domain, lower, upper):
            values = tuple(int(v) for v in domain if lower <= v <= upper)
            return Dimension(var.name, 0, len(values) - 1, values=values, integer=True)
        first, last = math.ceil(lower - 1e-9), math.floor(upper + 1e-9)
        if first > last:
            raise SpaceError(f"{var.name}: no value of its domain lies within its bounds ({lower}, {upper})")
        return Dimension(var.name, first, last, integer=True)
    return Dimension(var.name, float(lower), float(upper), scale=scale_of(var))


def _is_range(domain: Any, lower: float, upper: float) -> bool:
    """Whether a finite integer domain holds every integer between the bounds, in ascending order."""
    inside = [v for v in domain if lower <= v <= upper]
    return inside == list(range(math.ceil(lower - 1e-9), math.floor(upper + 1e-9) + 1))
