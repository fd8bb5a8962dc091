"""Reads the feeds of warehouse floors."""
