"""Pages from templates: escaped, strict about what a template lacks, with the same frame around each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fillrate_assets.core.shown_text import escape_lines
from fillrate_assets.web.tables import Link, format_cell, is_number, name_style

_OF_TABLES: Final = {
    "format_cell": format_cell,
    "name_style": name_style,
    "is_number": is_number,
    "is_link": lambda cell: isinstance(cell, Link),
}


def make_templates(package: str, values: Mapping[str, Any]) -> Environment:
    """Make the templates of a package, which extend those of `web`.

    Args:
        package: has a directory `templates`.
        values: what every template is given, beside what tables take.

    """
    templates = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("fillrate_assets.web")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_escape_controls,
    )
    templates.globals.update({**_OF_TABLES, **values})
    return templates


def _escape_controls(value: object) -> object:
    """Escape what a page would act on instead of showing it.

    Not what is markup already: what macros made, and values that a form sends back, which pass the filter `e`.
    """
    return escape_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value
