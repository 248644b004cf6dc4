"""Response functions in processes that can be ended: their limits, and what becomes of those that break out."""
