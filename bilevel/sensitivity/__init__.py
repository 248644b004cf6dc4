"""How a follower's answer moves with x: first and second derivatives through its optimality."""
