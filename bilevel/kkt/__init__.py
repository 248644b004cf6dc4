"""Optimality conditions in place of the lower level: one ordinary Pyomo model."""
