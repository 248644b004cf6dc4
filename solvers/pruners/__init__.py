"""Pruners: stop an evaluation early, by what the others reported on their way."""
