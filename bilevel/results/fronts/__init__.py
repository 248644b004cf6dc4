"""The front of several objectives: what was found, and its text, page and comparison."""
