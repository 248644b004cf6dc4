"""Answers that come in stages: asked several times, some followers first, few rows or epochs first."""
