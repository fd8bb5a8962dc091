"""Pages from templates: escaped, strict about what a template lacks, with the same frame around each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fillrate_assets.core.codes import escape_lines


def make_templates(package: str, values: Mapping[str, Any]) -> Environment:
    """Make the templates of a package, which extend those of `web`.

    Args:
        package: has a directory `templates`.
        values: what every template is given.

    """
    templates = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("fillrate_assets.web")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_escape_controls,
    )
    templates.globals.update(values)
    return templates


def _escape_controls(value: object) -> object:
    """Escape what a page would act on instead of showing it.

    Not what is markup already: what macros made, and values that a form sends back, which pass the filter `e`.
    """
    return escape_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value
