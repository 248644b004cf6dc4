"""A model made plain: what can be said in several ways is said in one, before it is read."""
