"""Stock buffers in Dagster: assets, checks, their job and what they work on."""
