"""Storage: databases, the lake and files. It knows no area: an area declares its own tables on top of it."""
