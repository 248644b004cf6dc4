"""Least squares with a penalty, a kink or bounds on every coefficient: recognised as one thing, its data in arrays."""
