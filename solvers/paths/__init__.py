"""Paths: from a problem to a finding, each by its own idea."""
