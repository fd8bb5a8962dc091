"""Databases, the lake and files. Generic: nothing here knows an area."""
