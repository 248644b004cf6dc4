"""What auto does: the exact path that suits, on each independent part, and a search where there is none."""
