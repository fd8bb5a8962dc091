"""Reads orders, shipments and snapshots; one file for each outside system."""
