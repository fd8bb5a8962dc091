"""Definitions of fulfillment for Dagster: external assets, their summary, checks and jobs. No rule belongs here."""
