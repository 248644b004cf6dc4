"""Whole pallets only: a condition on integers that algebra cannot say.

    max_{q, h}  6y - 2q + 1.5h                     q in {1, ..., 12},  h in {1, ..., 5},  h divides q
    s.t.        y in argmax { (20 - y) y - 6y : 0 <= y <= q }

A producer ships q boxes in pallets of h; a box costs 2 to make, the shop pays 6 for each of the y boxes that it
takes, and the carrier grants a rebate of 1.5 for every box that a pallet holds. The shop sells y boxes at 20 - y
apiece.

Source: our own.
Best known: profit 32 at q = 8, h = 4, y = 7. Proof by listing: the shop takes y = min(q, 7); the best q for h = 1,
    ..., 5 are 7, 8, 6 (or 9), 8 and 10 with profits 29.5, 29, 28.5, 32 and 29.5. Without divisibility it would be
    35.5 at q = 7, h = 5.
"""

import pyomo.environ as pyo

from bilevel import Allowed, LowerLevel

KNOWN = {
    "upper_objective": 32.0,
    "upper": {"boxes": 8, "pallet": 4},
    "tolerance": 1e-5,
    "methods": ["kkt", "grid", "random"],
}


def divides(boxes, pallet):
    """Whether the boxes fill whole pallets."""
    return boxes % pallet == 0


def create_model(most_boxes=12, largest_pallet=5, rebate=1.5):
    """``rebate`` is what the carrier grants for every box that a pallet holds."""
    model = pyo.ConcreteModel()
    model.boxes = pyo.Var(within=pyo.Integers, bounds=(1, most_boxes), initialize=1)
    model.pallet = pyo.Var(within=pyo.Integers, bounds=(1, largest_pallet), initialize=1)
    model.whole_pallets = Allowed([model.boxes, model.pallet], divides)

    model.lower = LowerLevel()
    model.lower.taken = pyo.Var(bounds=(0, None), initialize=0.0)
    taken = model.lower.taken
    model.lower.stock = pyo.Constraint(expr=taken <= model.boxes)
    model.lower.obj = pyo.Objective(expr=(20 - taken) * taken - 6 * taken, sense=pyo.maximize)

    model.obj = pyo.Objective(expr=6 * taken - 2 * model.boxes + rebate * model.pallet, sense=pyo.maximize)
    return model
