"""Searches: propose upper points, learn from what they gave."""
