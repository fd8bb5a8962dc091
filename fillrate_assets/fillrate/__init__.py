"""Fill rates and lost cases: ordered, shipped, and why short."""
