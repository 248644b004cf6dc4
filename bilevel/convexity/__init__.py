"""What is proved of a follower for every x: convex, qualified, unique, or a witness against it."""
