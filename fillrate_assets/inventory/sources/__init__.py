"""Systems that the inventory talks to: the replicas of the DCs."""
