"""The drill of `docs/runbooks/restore.md`: a backup, work that goes on, everything lost, and a moment restored."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
import yaml

from fillrate_assets import settings
from fillrate_assets.aws.s3_versions import restore_objects
from fillrate_assets.cli import main
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.defs.assets import published_records
from fillrate_assets.fillrate.record_store import DayPublication, RecordStore
from fillrate_assets.fillrate.rules.change_planner import NOTHING_PROCESSED
from fillrate_assets.orchestration import partitions
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.factories.rows import make_records, make_rejects
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until
from fillrate_assets_tests.fixtures.postgres import Postgres, run_postgres

DC: Final = "DC01"
FIRST: Final = date(2026, 2, 12)
SCRIPT: Final = ROOT / "deploy" / "backup.sh"
RUNBOOK: Final = (ROOT / "docs" / "runbooks" / "restore.md").read_text()
_LEDGER: Final = schema.LEDGER.polars
SOURCE: Final = pl.DataFrame([NOTHING_PROCESSED], schema={name: _LEDGER[name] for name in NOTHING_PROCESSED})


class Platform:
    """Records and Dagster's state in one database, as in AWS, and a lake on S3; its settings are the process's."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.backups = server.directory / "backups"
        shutil.copy(SCRIPT, server.directory)
        self.run("mkdir", self.backups)

    def run(self, *command: object) -> str:
        """Run a program as the server's account, where its programs are found."""
        at = {"PGHOST": str(self.server.directory), "PGUSER": "postgres", "PGPASSWORD": "s3cret-of-tests"}
        done = subprocess.run(  # noqa: S603 - our own command
            list(map(str, command)),
            user=self.server.user,
            cwd=self.server.directory,
            env={**os.environ, **at, "PATH": f"{self.server.programs}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def back_up(self, command: str, *arguments: object) -> str:
        return self.run(self.server.directory / "backup.sh", command, self.backups, *arguments)

    def archive(self) -> None:
        """Let the server archive its WAL, as the runbook has it set."""
        script = self.server.directory / "backup.sh"
        self.server.execute(f"ALTER SYSTEM SET archive_command = '{script} archive {self.backups} %%p %%f'")
        self.server.execute("SELECT pg_reload_conf()")

    def archive_the_rest(self) -> None:
        """Archive what was written until now, as `archive_timeout` has a server do after a minute."""
        with sql.get_engine(self.server.make_url()).connect() as connection:
            last = connection.execute(sa.text("SELECT pg_walfile_name(pg_switch_wal())")).scalar_one()
        wait_until((self.backups / "wal" / last).exists)

    def publish(self, day: date, *quantities: int) -> None:
        """Do what a run does: write the lake, publish the records, and tell Dagster."""
        chosen, key = settings.load(), PartitionKey(DC, day)
        rows = [
            {"ship_date": day, "item": f"I{number}", "ordered_cases": Decimal(quantity)}
            for number, quantity in enumerate(quantities)
        ]
        records = make_records(*rows)
        Lake(chosen.storage.lake_root).write(schema.LOST_CASES, records, [key])
        publication = DayPublication(DC, day, records, make_rejects(), SOURCE)
        self.store.publish([publication], run_id="a run", now=datetime.now(UTC))
        with dg.DagsterInstance.get() as instance:
            materialized = dg.AssetMaterialization(published_records.key, partition=partitions.make_key(*key))
            instance.report_runless_asset_event(materialized)

    @property
    def store(self) -> RecordStore:
        return RecordStore(Database.from_settings(settings.load()))

    def read(self) -> dict[date, list[Decimal]]:
        """Read what each day was published with, once the three agree."""
        days = self.store.read_ledger(DC)["ship_date"].to_list()
        return {day: self.store.read_records(DC, day)["ordered_cases"].to_list() for day in days}


@pytest.fixture
def bucket(aws: Cloud) -> str:
    name = aws.create_bucket()
    versioning = {"Status": "Enabled"}
    aws.make_client("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
    return name


@pytest.fixture
def platform(aws: Cloud, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    with run_postgres({"fsync": "off", "archive_mode": "on"}) as server:
        url = server.create_database("fillrate")
        state = sa.make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
        (tmp_path / "dagster.yaml").write_text(yaml.dump({"storage": {"postgres": {"postgres_url": state}}}))
        environment = {
            "AWS_DEFAULT_REGION": aws.environment["AWS_REGION"],
            "DAGSTER_HOME": str(tmp_path),
            "FILLRATE_HOME": str(tmp_path / "home"),
            "FILLRATE_STORAGE__RECORD_STORE_URL": url,
            "FILLRATE_STORAGE__LAKE_ROOT": f"s3://{bucket}/lake",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        Database.from_settings(settings.load()).upgrade()
        yield Platform(server)


def wait_for_another_second() -> str:
    """Wait until the clock shows another second than now, and return which."""

    def read_clock() -> str:
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    before = read_clock()
    wait_until(lambda: read_clock() > before)
    return read_clock()


def lose_everything(platform: Platform, s3: Any, bucket: str) -> None:  # noqa: ANN401 - boto3's own
    platform.server.kill()
    shutil.rmtree(platform.server.data)
    for found in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        s3.delete_object(Bucket=bucket, Key=found["Key"])
    sql.get_engine(settings.load().storage.record_store_url).dispose()


def say(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command that the runbook has, and return its exit code and what it prints."""
    written = " ".join("MOMENT" if re.fullmatch(r"\d{4}-.*Z", each) else each for each in arguments)
    assert f"fillrate {written}\n" in RUNBOOK
    code = main.execute(arguments)
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, captured.out


@pytest.mark.slow
def test_a_moment_is_restored_of_records_lake_and_dagster_together(
    platform: Platform, bucket: str, aws: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.archive()
    platform.publish(FIRST, 7, 8)
    base = Path(platform.back_up("take").strip())
    wait_for_another_second()
    platform.publish(FIRST + timedelta(days=1), 5)
    before = platform.read()
    moment = wait_for_another_second()
    wait_for_another_second()
    platform.publish(FIRST, 9)
    platform.publish(FIRST + timedelta(days=2), 3)
    platform.archive_the_rest()
    lose_everything(platform, aws.make_client("s3"), bucket)

    said = platform.back_up("restore", platform.server.data, moment)
    assert said == f"{platform.server.data} begins with {base.name} and, once it is started, goes on to {moment}\n"
    platform.server.start()
    code, out = say("lake", "verify", capsys=capsys)
    assert code == 1
    assert "DC01  2026-02-12  not in the lake" in out
    assert "not in the lake: the record store has records of the day, the lake has not" in out
    code, out = say("lake", "restore", "--to", moment, capsys=capsys)
    assert (code, out) == (0, "2 files put back, 0 removed, 1 are as they were\n")
    assert say("lake", "verify", capsys=capsys) == (0, "records, lake and Dagster agree on 2 days\n")
    assert platform.read() == before == {FIRST: [7, 8], FIRST + timedelta(days=1): [5]}

    platform.publish(FIRST + timedelta(days=2), 4)
    assert say("lake", "verify", capsys=capsys)[0] == 0


def test_a_moment_before_every_backup_and_a_directory_that_is_there_are_refused(tmp_path: Path) -> None:
    base = tmp_path / "base" / "20260212T080000Z"
    base.mkdir(parents=True)
    for data, moment, refused in (
        ("new", "2026-02-12T08:00:00Z", "no backup in .* ended before 2026-02-12T08:00:00Z; there are: 20260212T08"),
        ("base", "2026-02-12T08:00:01Z", "base is there: move it away first"),
    ):
        command: list[str | Path] = [SCRIPT, "restore", tmp_path, tmp_path / data, moment]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)  # noqa: S603 - ours
        assert done.returncode == 2
        assert re.search(refused, done.stderr), done.stderr


def test_what_is_archived_is_never_replaced_by_something_else(tmp_path: Path) -> None:
    for content, code in (("a", 0), ("a", 0), ("b", 1)):
        (tmp_path / "segment").write_text(content)
        command: list[str | Path] = [SCRIPT, "archive", tmp_path, tmp_path / "segment", "000000010000000000000001"]
        assert subprocess.run(command, check=False, timeout=PATIENCE_SECONDS).returncode == code  # noqa: S603 - ours
    assert (tmp_path / "wal" / "000000010000000000000001").read_text() == "a"


def test_what_came_after_the_moment_is_removed_and_what_was_removed_comes_back(aws: Cloud, bucket: str) -> None:
    s3 = aws.make_client("s3")
    for key in ("lake/kept", "lake/removed", "other"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    moment = datetime.now(UTC)
    wait_for_another_second()
    s3.delete_object(Bucket=bucket, Key="lake/removed")
    for key in ("lake/new", "other"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"2")
    assert restore_objects(bucket, "lake/", moment) == (1, 1, 1)
    assert restore_objects(bucket, "lake/", moment) == (0, 0, 3)
    assert aws.list_keys(bucket) == ["lake/kept", "lake/removed", "other"]
    assert s3.get_object(Bucket=bucket, Key="other")["Body"].read() == b"2"


@pytest.mark.usefixtures("aws")
def test_a_bucket_without_versions_restores_nothing(aws: Cloud) -> None:
    with pytest.raises(PermanentFailure, match="keeps no versions"):
        restore_objects(aws.create_bucket(), "", datetime.now(UTC))
