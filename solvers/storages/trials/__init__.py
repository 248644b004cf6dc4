"""Trials as Optuna stores them: in a journal, in tables, through any storage of its own."""
