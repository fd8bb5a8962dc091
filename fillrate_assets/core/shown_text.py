"""Text of a source, as people may see it: nothing in it acts on a terminal or a page.

It needs no library, so that a command which only prints starts at once. How a page or a chat escapes its own markup
belongs to `web` and `notifications`.
"""

from __future__ import annotations

import re
from typing import Final

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""C0 and C1 controls, and what is invisible or turns the direction of writing."""


def escape_controls(text: str) -> str:
    """Escape what a terminal or a page would act on instead of showing it, as in a JSON string; tabs become blanks."""
    return _CONTROL.sub(lambda found: _escape(found[0]), text)


def escape_lines(text: str) -> str:
    """Escape a text of several lines as `escape_controls` does each; its line ends stay."""
    return "\n".join(escape_controls(line.removesuffix("\r")) for line in text.split("\n"))


def _escape(character: str) -> str:
    if character == "\t":
        return " "
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - one byte
