"""Readers of the feeds of warehouse floors. No rule belongs here."""
