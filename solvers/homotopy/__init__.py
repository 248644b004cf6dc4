"""Answers that are piecewise linear in one penalty: followed, checked on every piece, F minimised along them."""
