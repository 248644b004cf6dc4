"""Surrogates: models of an expensive function from few values."""
