"""Matrices that others ask about: definite or not, sparse factors, pencils, systems of optimality."""
