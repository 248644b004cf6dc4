"""Ties broken in the set of optima itself, in as many variables as it has dimensions."""
