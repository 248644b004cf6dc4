"""A budget over channels: what spend brings, a model of its allocation, a plan as a table."""
