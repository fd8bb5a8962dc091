"""Starts the AWS emulator.

Its Athena answers that a result is at `<id>.csv` and writes it to `<id>.csv/<id>.csv`; here it is where it says.
"""

from __future__ import annotations

from ministack.app import main
from ministack.services import athena

_save = athena._save_query_results  # noqa: SLF001 - the emulator has no other way in


async def _where_it_says(query_id: str) -> None:
    configuration = athena._executions.get(query_id)["ResultConfiguration"]  # noqa: SLF001 - as above
    told = configuration["OutputLocation"]
    configuration["OutputLocation"] = told.removesuffix(f"{query_id}.csv")
    try:
        await _save(query_id)
    finally:
        configuration["OutputLocation"] = told


if __name__ == "__main__":
    athena._save_query_results = _where_it_says  # noqa: SLF001 - as above
    main()
