"""What a descent on F(x, y(x)) is made of."""
