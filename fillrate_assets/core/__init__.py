"""Pure building blocks of every area: Polars and the standard library only. Nothing of a business rule belongs here."""
