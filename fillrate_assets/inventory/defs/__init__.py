"""What Dagster shows and runs of the inventory."""
