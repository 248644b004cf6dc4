"""A problem compiled: one parametric program per follower, its numeric forms, its answers."""
