"""Programs in units of their own: what engines are given is of magnitude one."""
