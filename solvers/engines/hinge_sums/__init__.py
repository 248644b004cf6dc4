"""Exact answers of sums of hinges: the rows at their kink, by an interior point or from an answer nearby."""
