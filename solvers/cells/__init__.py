"""Cells of a nonconvex follower's variables: where an answer may lie while x is in a box, and how low F is there."""
