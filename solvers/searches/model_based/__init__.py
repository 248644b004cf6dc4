"""What the surrogate searches are made of: encoding, memory, design, candidates, and a step for each surrogate."""
