"""The `fillrate` command: parses arguments, starts work, prints results. No rule belongs here."""
