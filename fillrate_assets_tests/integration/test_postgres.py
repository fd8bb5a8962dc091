"""Quantities of a company's own tables in PostgreSQL; `test_end_to_end` runs the main job there."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from fillrate_assets_tests.fixtures.postgres import Postgres
from fillrate_assets_tests.fixtures.servers import QUANTITIES, read_quantities_back


@pytest.mark.parametrize("kind", [sa.Numeric(), sa.Numeric(18, 4), sa.Text()])
def test_a_quantity_never_passes_through_a_float(postgres: Postgres, kind: sa.types.TypeEngine[Any]) -> None:
    url = postgres.create_database(f"exact {uuid4()}")
    assert read_quantities_back(url, "order_lines", kind) == list(QUANTITIES)
