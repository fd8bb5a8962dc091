"""Pure rules of fill rates: frames and plain values in and out. No Dagster, driver, clock or environment."""
