"""What people read of counts and their copies."""
