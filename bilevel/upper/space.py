"""The upper search space: what the domains of the upper variables say, and which points the upper constraints allow.

A point is a tuple of coordinates, one per dimension: the place in the list for a sequence, the integer itself for an
integer, the value for a real. Searches see the unit box, where a sequence of K values lies on the lattice
``k / (K - 1)``, an integer likewise, and a real linearly or in logarithms.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array, Point, sizes_of_rows
from bilevel.errors import SpaceError
from bilevel.graphs.casadi_silence import silence
from bilevel.graphs.compiled import Compiled
from bilevel.language.domains import members
from bilevel.language.trials.fidelity import is_fidelity, rungs_of
from bilevel.programs.compilation import Compilation
from bilevel.reading.pieces import is_category
from bilevel.upper.conditions import Condition, at_rest, read_conditions
from bilevel.upper.dimension import dimension_of


class Space:
    """The set of upper points a search may propose.

    Attributes
    ----------
    dimensions : tuple of Dimension
        In the order of the problem's upper variables.
    start : Point or None
        The point the user's initial values give, where all are given and it is allowed.
    fidelity : (int, tuple) or None
        Place of the dimension that says how closely to look, which rests at its full value, and the values below.
    conditions : tuple of Condition
        Which dimensions are active where; inactive ones rest, and no other point is in the space.
    """

    conditions: tuple[Condition, ...] = ()

    def __init__(self, compilation: Compilation) -> None:
        problem = compilation.problem
        self.dimensions = tuple(dimension_of(var, compilation) for var in problem.variables)
        self.names = tuple(d.name for d in self.dimensions)
        self.conditions = read_conditions(problem.conditions, self.dimensions)
        rows, self._row_lower, self._row_upper = compilation.rows(problem.x_only)
        self._rows_symbol, self._x = rows, compilation.x
        self._compiled = Compiled([compilation.x], [rows]) if rows.numel() else None
        self._predicates = [(a, [self._place(v) for v in a.variables]) for a in problem.allowed]
        self._names_of_rows = [c.name for c in problem.x_only]
        self.fidelity = self._fidelity(problem.variables)
        self.start = self._initial(problem.variables)

    def _repr_html_(self) -> str:
        """The dimensions as a table, for notebooks."""
        cells = [(d.name, d.describe()) for d in self.dimensions]
        rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>" for name, text in cells)
        return f"<table><tr><th>variable</th><th>domain</th></tr>{rows}</table>"

    def _place(self, var: Any) -> int:
        if var.name not in self.names:
            raise SpaceError(f"Allowed mentions {var.name}, which is not a free upper variable")
        return self.names.index(var.name)

    def _fidelity(self, variables: Any) -> tuple[int, tuple[Any, ...]] | None:
        """The place of the variable that says how closely to look, and its values below the full one."""
        found = [(k, rungs_of(var)) for k, var in enumerate(variables) if is_fidelity(var)]
        if len(found) > 1:
            names = ", ".join(self.names[k] for k, _ in found)
            raise SpaceError(f"{names} are all declared a fidelity; let one variable say how closely to look")
        return found[0] if found else None

    def at_fidelity(self, point: Point, value: Any) -> tuple[dict[str, Any], Array]:
        """A point's values by name and as a vector, looked at no closer than ``value``."""
        assert self.fidelity is not None
        place = self.fidelity[0]
        x = self.vector(point)
        x[place] = value
        return {**self.values(point), self.names[place]: value}, x

    def _initial(self, variables: Any) -> Point | None:
        if any(var.value is None and not (is_category(var) and None in members(var.domain)) for var in variables):
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

    def vectors(self, points: Sequence[Point]) -> Array:
        """Several, shape (n, number of dimensions)."""
        if any(d.values is not None and not d.categorical for d in self.dimensions):
            return np.array([self.vector(point) for point in points])
        return np.array(points, dtype=float).reshape(len(points), len(self.dimensions))

    def from_units(self, units: Array) -> list[Point]:
        """The points nearest to several places in the unit box, shape (n, number of dimensions)."""
        if not self.dimensions:
            return [()] * len(units)  # the one point, as often as it is asked for
        columns = [d.from_units(column) for d, column in zip(self.dimensions, units.T, strict=True)]
        return [self.canonical(point) for point in zip(*columns, strict=True)]

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
        worst = float((excess / sizes_of_rows(self._row_lower, self._row_upper)).max())
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
        with silence():
            solution = self._projection(
                x0=x, p=np.concatenate([x, spread]), lbx=lower, ubx=upper, lbg=self._row_lower, ubg=self._row_upper
            )
        moved = np.clip(solution["x"].full()[:, 0], lower, upper)
        found = self.canonical(tuple(float(m) if free else c for m, free, c in zip(moved, movable, point, strict=True)))
        return found if self.allows(found) else None
