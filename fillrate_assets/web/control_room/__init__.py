"""The control room: the state of every unit of a floor, as a wall screen and a phone show it."""
