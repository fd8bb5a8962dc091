"""Pages on which the floor answers alerts."""
