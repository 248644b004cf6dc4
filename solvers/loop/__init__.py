"""The search loop: ask, evaluate, record, tell, the same history however many work."""
