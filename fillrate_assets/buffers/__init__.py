"""Buffers of warehouse floors: signals, operational units, recommendations, alerts, feedback.

A function begins with a verb. One that builds a Polars expression begins with `is_` or `has_` if it is Boolean, with
`format_` if it is text for people, and with `derive_` otherwise. One that reads or returns frames names what it does to
them: `compute_`, `select_`, `add_`, `find_`, `collect_`, `list_`.
"""
