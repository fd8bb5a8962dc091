"""Rules of replenishment: pure. They know no database, clock or environment."""
