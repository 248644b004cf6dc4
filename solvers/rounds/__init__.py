"""Rounds between a relaxation and the follower's true answer."""
