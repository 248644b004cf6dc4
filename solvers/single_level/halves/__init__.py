"""The two halves of the KKT path, a local and a global one, and what they hand on."""
