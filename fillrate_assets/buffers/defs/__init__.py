"""Assets, checks and schedules of buffers: Dagster only here."""
