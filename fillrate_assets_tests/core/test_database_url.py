"""A database URL is read in one way, or refused without being shown."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st

from fillrate_assets import settings
from fillrate_assets.core.database_url import is_clear, locate_file
from fillrate_assets.core.errors import PermanentFailure

SYSTEMS = (
    "sources__order_system_url",
    "sources__shipping_records_url",
    "sources__instock_warehouse_url",
    "sources__floor_feeds_url",
    "storage__record_store_url",
)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://reader:p%40ss%2Fword@host:5432/orders?sslmode=require",
        "postgresql://reader@host/orders",
        "mssql+pymssql://host/orders",
        "oracle+oracledb://reader:{secret://prod/orders#password}@host:1521/?service_name=orders",
        "postgresql://reader:secret@[::1]:5432/orders",
        "awsathena+arrow://@athena.eu-central-1.amazonaws.com/inventory?s3_staging_dir=s3%3A%2F%2Fbucket%2Fx",
        "sqlite:////data/a@b/orders.db",
        "duckdb:///orders.duckdb",
        "sqlite://",
    ],
)
def test_urls_as_they_should_be_are_clear(url: str) -> None:
    assert is_clear(url)


@given(st.text("@/:?#%&=[]\\ ab1", max_size=12))
@example("p@ss/word")
@example("1/x@y")
@example("1?a=b")
@example("pa@ss?a=b")
def test_a_password_is_read_as_it_is_written_or_refused(password: str) -> None:
    url = f"postgresql://reader:{password}@host:5432/orders?sslmode=require"
    if is_clear(url):
        parsed = sa.make_url(url)
        assert (parsed.password or "", parsed.host, parsed.port) == (unquote(password), "host", 5432)
        assert (parsed.database, dict(parsed.query)) == ("orders", {"sslmode": "require"})


@pytest.mark.parametrize("setting", SYSTEMS)
@pytest.mark.parametrize("password", ["hunter@2/x", "hunter/2", "12/hunter", "hunter?2", "hunter@2"])
def test_a_setting_that_cannot_be_read_is_named_and_not_shown(tmp_path: Path, setting: str, password: str) -> None:
    url = f"postgresql+psycopg://reader:{password}@db.example/orders"
    with pytest.raises(PermanentFailure, match=setting.replace("__", ".")) as raised:
        settings.load(home=tmp_path, **{setting: url})
    shown: BaseException | None = raised.value
    assert "%40" in str(shown)
    while shown is not None:
        assert "hunter" not in str(shown)
        shown = shown.__cause__ or shown.__context__


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a b", "a#b", "a@b", "ü"])
def test_the_url_of_a_file_leads_to_the_file(name: str) -> None:
    url = locate_file("sqlite", f"/data/{name}/orders.db")
    assert is_clear(url)
    assert sa.make_url(url).database == f"/data/{name}/orders.db"
