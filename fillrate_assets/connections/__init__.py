"""One file per outside system: plain objects that Dagster hands to the assets as resources."""
