"""Rules of inventory: pure. They know no database, clock or environment."""
