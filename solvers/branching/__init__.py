"""Branch and bound for followers of integers alone: nodes are branched on what an optimal answer must meet."""
