"""Reports and explanations that people read."""
