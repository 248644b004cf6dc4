"""Problems from files and to files: Python models, MPS and LP with AUX, single-level models."""
