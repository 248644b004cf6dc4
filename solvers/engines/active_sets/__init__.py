"""Exact active sets: of least squares with an l1 term, and for the answers of an interior-point method."""
