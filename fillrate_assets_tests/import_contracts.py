"""A contract type for import-linter: packages that may import what is listed, and nothing else."""

from __future__ import annotations

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowListContract(Contract):
    """Sources import the standard library and the allowed packages only.

    Options: `source_modules` and `allowed_modules` (each with all that is below it), and `forbidden_stdlib`, parts of
    the standard library that are not allowed either.
    """

    type_name = "allow_list"

    source_modules = fields.ListField(subfield=fields.StringField())
    allowed_modules = fields.ListField(subfield=fields.StringField())
    forbidden_stdlib = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 - as the base class has it
        """Find every direct import that is not allowed."""
        sources = [name for name in graph.modules if _is_below(name, self.source_modules)]
        found = sorted(
            (source, imported)
            for source in sources
            for imported in graph.find_modules_directly_imported_by(source)
            if not self._is_allowed(imported)
        )
        return ContractCheck(kept=not found and bool(sources), metadata={"imports": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports that are not allowed."""
        for source, imported in check.metadata["imports"]:
            output.print_error(f"{source} imports {imported}")

    def _is_allowed(self, imported: str) -> bool:
        if _is_below(imported, self.allowed_modules):
            return True
        top = imported.partition(".")[0]
        return top in sys.stdlib_module_names and top not in _get_value(self.forbidden_stdlib)


def _is_below(name: str, packages: object) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in _get_value(packages))


def _get_value(option: object) -> list[str]:
    """Return an option's value: import-linter puts it where the class declares the field."""
    return cast("list[str]", option or [])
