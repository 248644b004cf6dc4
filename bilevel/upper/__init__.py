"""The upper level as a search sees it: the space of its points, and those that were tried."""
