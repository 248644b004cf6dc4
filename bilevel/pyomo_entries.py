"""What Pyomo finds of this package: ``SolverFactory("bilevel")``, ``TransformationFactory("bilevel.kkt")``.

Loaded with the first name of the language that is asked of :mod:`bilevel`, so that whoever declares a follower finds
both. The language itself does not know them: it stands on the ground, and they on everything.
"""

from __future__ import annotations

from bilevel.api.solver_factory import BilevelSolver
from bilevel.kkt.transformation import KKTTransformation

__all__ = ["BilevelSolver", "KKTTransformation"]
