"""Assets, checks, sensors and schedules of fill rates: Dagster only here."""
