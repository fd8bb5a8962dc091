"""Text columns made of others. What they say, and to whom, belongs to the areas."""

from __future__ import annotations

from itertools import chain, zip_longest

import polars as pl


def format_text(template: str, *values: str | pl.Expr) -> pl.Expr:
    """Format columns into a text, as `pl.format` does, which panics where a batch of a streamed frame is empty.

    Args:
        template: with `{}` in the place of each value.
        values: columns, or their names; what is not text is cast to it.

    Returns:
        Text; null where a value is null.

    Raises:
        ValueError: there are more or fewer values than places.

    """
    words = template.split("{}")
    if len(words) != len(values) + 1:
        msg = f"{template!r} has {len(words) - 1} places, and there are {len(values)} values"
        raise ValueError(msg)
    texts = [pl.lit(each) if each else None for each in words]
    columns = [pl.col(each) if isinstance(each, str) else each for each in values]
    parts = [part for part in chain.from_iterable(zip_longest(texts, columns)) if part is not None]
    return pl.concat_str(parts)
