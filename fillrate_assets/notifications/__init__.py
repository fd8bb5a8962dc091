"""Messages to people: the outbox, rendering, notifiers, signed links. Which events are worth one is for the areas."""
