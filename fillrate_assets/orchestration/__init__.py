"""Dagster glue without rules: partitions, locks, retries, the lake's IO manager, what the UI shows."""
