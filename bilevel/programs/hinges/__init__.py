"""Sums of hinges over rows of data, as of support vectors and quantiles: recognised, their rows kept in arrays."""
