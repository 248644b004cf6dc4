"""Bounds on F over boxes of x, and the search that branches on them: the parts of ``upper_boxes``."""
