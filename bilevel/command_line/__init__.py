"""``python -m bilevel.solve``: options, listing, exit codes."""
