"""Problems from files and to files: Python models, MPS with AUX, single-level models."""
