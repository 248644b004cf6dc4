"""Treatments of complementarity pairs: each turns `slack * multiplier = 0` into something an engine can take."""
