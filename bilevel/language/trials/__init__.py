"""What is said of one evaluation: its trial, its fidelity, what is reported at the answer alone."""
