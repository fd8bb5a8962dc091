"""Fill rates and lost cases: ordered, shipped, and why short.

A function begins with a verb. One that builds a Polars expression ends in `_expr` (`_path_expr`) or is a conversion
named after its result (`to_units`), as in Polars itself.
"""
