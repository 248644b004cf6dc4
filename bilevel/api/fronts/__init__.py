"""Several upper objectives solved: exact fronts, searched ones, and several compared."""
