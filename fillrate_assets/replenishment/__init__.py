"""Replenishment: what to hold of an item at a DC, from its demand and its lost cases."""
