"""A tree over the follower's active sides: linear programs kept hot, improving directions, first points."""
