"""A population trained side by side: who goes on from whose state, with which x, and the run of it."""
