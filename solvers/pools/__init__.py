"""Pools of workers: where evaluations are done, here, in processes, elsewhere."""
