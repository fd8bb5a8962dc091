"""The replica of a DC over HTTP: the reference of what a DC's own system answers."""
