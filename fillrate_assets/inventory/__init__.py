"""Inventory: stock by DC and item, and what orders reserve of it."""
