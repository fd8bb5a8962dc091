"""Ordered -> shipped -> why short."""
