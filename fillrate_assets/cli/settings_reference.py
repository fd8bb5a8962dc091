"""Reference of the settings as Markdown, made from the code, so that it cannot differ from it."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any, Final

from pydantic import SecretStr

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.settings import Setting, Settings, list_settings

BEGIN: Final = "<!-- begin: fillrate settings -->\n"
END: Final = "<!-- end -->\n"


def render() -> str:
    """Return a table of settings for each section."""
    parts = []
    for section, settings in groupby(list_settings(), key=lambda setting: setting.section):
        if section:
            about = Settings.model_fields[section].annotation
            parts += [f"## {section.capitalize()}", (about.__doc__ or "").strip()]
        rows = [f"| `{each.variable}` | {_write_default(each.default)} | {_escape(each)} |" for each in settings]
        parts.append("\n".join(["| variable | default | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def update(page: str) -> str:
    """Return a page with the tables between its two marks replaced.

    Raises:
        PermanentFailure: the page has no such marks.

    """
    parts = re.fullmatch(f"(.*{BEGIN}).*({END}.*)", page, re.DOTALL)
    if parts is None:
        msg = f"the page has no {BEGIN.strip()} and {END.strip()} around its tables"
        raise PermanentFailure(msg)
    return f"{parts[1]}\n{render()}\n{parts[2]}"


def _write_default(value: Any) -> str:  # noqa: ANN401 - a default of any setting
    shown = value.get_secret_value() if isinstance(value, SecretStr) else value
    return f"`{shown}`" if shown or shown == 0 else ""


def _escape(setting: Setting) -> str:
    return setting.meaning.replace("|", r"\|")
