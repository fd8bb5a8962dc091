"""Reports and explanations that people read. Tables on a terminal are printed by `cli.tables`; no rule belongs here."""
