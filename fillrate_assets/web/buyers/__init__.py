"""The pages of buyers and DC managers: how well was shipped, what was lost, who is accountable, and why."""
