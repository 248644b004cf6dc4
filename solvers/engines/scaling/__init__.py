"""What SCIP is given, at magnitude one: expressions, variables and rows in units of their own."""
