"""One file per outside system; each works with and without Dagster."""
