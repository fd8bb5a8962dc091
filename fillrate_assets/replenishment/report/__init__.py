"""What people read of replenishment."""
