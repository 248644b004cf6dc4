"""A compiled function: called, made machine code, cut in stages, enclosed in intervals and Taylor models."""
