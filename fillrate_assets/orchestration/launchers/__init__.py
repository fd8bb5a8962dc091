"""Where runs go on: Dagster's launchers, each of which says by the lease of a run whether its process is there."""
