"""Mappings of files: where the rows of a table are, and how its files are written. What values mean is not here."""

from __future__ import annotations

import codecs
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

MAPPING_FILE: Final = "mapping.toml"


def _wrap_single(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


Several = Annotated[tuple[str, ...], BeforeValidator(_wrap_single)]
"""One text, or a list of them."""


class FileMapping(BaseModel):
    """Where a table's rows are, and how its files are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Several = ()
    """Files, folders or patterns such as `orders_*.csv`; their rows are one table."""

    sheet: str | None = None
    """Sheet of a workbook; the first if none is named."""

    separator: str | None = Field(default=None, min_length=1, max_length=1)
    """By default a comma, and a tab in .tsv and .txt files."""

    encoding: str | None = None
    """Tried where a file has no byte order mark and is not UTF-8."""

    skip_lines: int = Field(default=0, ge=0)
    """Lines before the header."""

    header: bool = True
    """Whether the first line names the columns; without one they are numbered from 1."""

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            found = codecs.lookup(value)
            # `base64` and its like are codecs of bytes, and `undefined` is one of nothing.
            "a".encode(found.name)
        except (LookupError, UnicodeError) as error:
            msg = f"unknown encoding {value!r}"
            raise ValueError(msg) from error
        return found.name

    @field_validator("separator")
    @classmethod
    def _check_separator(cls, value: str | None) -> str | None:
        if value is not None and (not value.isascii() or value.isalnum() or value in '"\r\n\0'):
            msg = f"{value!r} is no separator: it is one ASCII character that is no letter, digit, quote or line end"
            raise ValueError(msg)
        return value
