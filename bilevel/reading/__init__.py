"""A Pyomo model read as a bilevel problem, and refused where it cannot mean one."""
