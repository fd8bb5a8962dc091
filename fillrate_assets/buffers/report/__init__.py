"""Explanations and backtests that people read."""
