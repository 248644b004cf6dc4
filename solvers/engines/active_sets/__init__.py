"""Exact active sets for least squares with a kink and bounds on every coefficient: the parts of `l1`."""
