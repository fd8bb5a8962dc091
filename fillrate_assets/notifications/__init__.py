"""Messages to people: one outbox, its rendering and the channels. Which events are worth a message is for the areas."""
