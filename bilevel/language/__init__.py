"""What a user declares: followers, domains, conditions, multipliers, formulas."""
