"""Programs whose nonlinear terms each move with one variable or one sum: taken apart, enclosed, made a MILP."""
