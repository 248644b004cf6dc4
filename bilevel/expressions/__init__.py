"""Pyomo's expressions: translated, differentiated, their large squares kept as arrays."""
