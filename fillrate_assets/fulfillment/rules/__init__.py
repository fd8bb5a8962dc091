"""Rules of fulfillment: pure. They know no queue, database, clock or environment; `now` is an argument."""
