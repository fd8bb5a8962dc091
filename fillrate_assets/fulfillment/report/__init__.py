"""What people read of fulfillment: where an order is, how it came there, and how much of what is where."""
