"""What a user calls: solve, compare, explain, and Pyomo's own factories."""
