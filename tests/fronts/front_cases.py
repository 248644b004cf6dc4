"""Small models with several upper objectives, and their fronts by brute force."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo

import bilevel


def linear(first_sense=pyo.minimize):
    """``y(x) = max(0, x_1 - x_2, x_1 - 4)``, both levels linear; ``first_sense`` flips the first objective's sign."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var([1, 2], bounds=(0, 6))
    model.lower = bilevel.LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 10))
    model.lower.above = pyo.Constraint(expr=model.lower.y >= model.x[1] - model.x[2])
    model.lower.far = pyo.Constraint(expr=model.lower.y >= model.x[1] - 4)
    model.lower.least = pyo.Objective(expr=model.lower.y)
    gain = 2 * model.lower.y - 3 * model.x[1]
    model.gain = pyo.Objective(expr=gain if first_sense == pyo.minimize else -gain, sense=first_sense)
    model.cost = pyo.Objective(expr=model.x[1] + 2 * model.x[2] + model.lower.y)
    return model


def linear_costs(steps=121):
    """Every point of a lattice in x, both objectives minimised, shape (n, 2)."""
    a, b = (grid.ravel() for grid in np.meshgrid(*[np.linspace(0, 6, steps)] * 2))
    y = np.maximum.reduce([np.zeros_like(a), a - b, a - 4])
    return np.column_stack([2 * y - 3 * a, a + 2 * b + y])


def integers():
    """``y(x) = x`` over 11 integers: the front is x = 3, ..., 7."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10), within=pyo.Integers)
    model.lower = bilevel.LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 10))
    model.lower.near = pyo.Objective(expr=(model.lower.y - model.x) ** 2)
    model.near_three = pyo.Objective(expr=(model.lower.y - 3) ** 2)
    model.near_seven = pyo.Objective(expr=(model.x - 7) ** 2)
    return model


def three(sizes=2):
    """Squared distances of ``y(x) = x`` from three corners of a triangle: the front is the triangle."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(sizes), bounds=(0, 1))
    model.lower = bilevel.LowerLevel()
    model.lower.y = pyo.Var(range(sizes), bounds=(-2, 2))
    x, y = model.x, model.lower.y
    model.lower.near = pyo.Objective(expr=sum((y[i] - x[i]) ** 2 for i in x))
    model.first = pyo.Objective(expr=y[0] ** 2 + y[1] ** 2)
    model.second = pyo.Objective(expr=(y[0] - 1) ** 2 + y[1] ** 2)
    model.third = pyo.Objective(expr=-(x[0] ** 2) - (y[1] - 1) ** 2, sense=pyo.maximize)
    return model


def bulged(size=5):
    """ZDT2 (Zitzler, Deb and Thiele 2000) in ``y(x) = x``: the front ``z_2 = 1 - z_1^2`` bulges."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(size), bounds=(0, 1))
    model.lower = bilevel.LowerLevel()
    y = model.lower.y = pyo.Var(range(size), bounds=(0, 1))
    model.lower.near = pyo.Objective(expr=sum((y[i] - model.x[i]) ** 2 for i in y))
    g = 1 + 9 * sum(y[i] for i in range(1, size)) / (size - 1)
    model.first = pyo.Objective(expr=y[0])
    model.second = pyo.Objective(expr=g - y[0] ** 2 / g)
    return model
