"""Engines: solve one lower level, or one single-level model."""
