"""Readers of orders, shipments and snapshots: one file for each outside system. No rule belongs here."""
