"""Interdiction: a leader who blocks what the follower may take, found in the model and solved by its structure."""
