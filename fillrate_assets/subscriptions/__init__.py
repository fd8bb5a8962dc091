"""Saved views of the buyers' pages, and when each is sent. What a view shows, and how that is written, is for `web`."""
