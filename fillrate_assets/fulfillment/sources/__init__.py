"""Outside systems of fulfillment: those that do what transitions request."""
