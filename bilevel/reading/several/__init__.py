"""Several upper objectives: the single-objective problems that are made of them."""
