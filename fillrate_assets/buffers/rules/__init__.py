"""Pure rules of buffers: frames and plain values in and out. No Dagster, driver, clock or environment."""
