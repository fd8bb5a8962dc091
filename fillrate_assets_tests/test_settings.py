from __future__ import annotations

from datetime import date
from operator import attrgetter
from pathlib import Path

import pytest
from pydantic import ValidationError

from fillrate_assets import settings
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.settings import SourceTable

DAY = date(2026, 3, 1)
TOPIC = "arn:aws:sns:eu-central-1:123456789012:held-days"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


def _write_toml(home: Path, *lines: str) -> None:
    (home / "settings.toml").write_text("\n".join(lines))


def test_everything_is_embedded_under_the_home(home: Path) -> None:
    made = settings.load(home=home)
    assert made.sources.order_system_url == f"sqlite:///{home}/systems/order_system.db"
    assert made.sources.shipping_records_url == f"sqlite:///{home}/systems/shipping_records.db"
    assert made.sources.instock_warehouse_url == f"duckdb:///{home}/systems/instock_warehouse.duckdb"
    assert made.storage.record_store_url == f"sqlite:///{home}/systems/record_store.db"
    assert made.storage.lake_root == f"{home}/lake"
    assert (made.health.max_reject_share, made.health.max_missing_share) == (0.05, 0.20)
    assert (made.sensor.watermark_overlap_minutes, made.sensor.partition_retry_delay_minutes) == (15, 15)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("FILLRATE_RETRY_MINUTE", "FILLRATE_SENSOR__PARTITION_RETRY_DELAY_MINUTES"),
        ("FILLRATE_HOEM", "FILLRATE_HOME"),
        ("FILLRATE_SOURCES_ORDER_SYSTEM_URL", "FILLRATE_SOURCES__ORDER_SYSTEM_URL"),
        ("FILLRATE_LAKE_ROOT", "FILLRATE_STORAGE__LAKE_ROOT"),
        ("FILLRATE_ALERTS", "FILLRATE_NOTIFICATIONS__ALERT_TOPIC_ARN"),
        ("FILLRATE_DEADLINE", "FILLRATE_HEALTH__COMPLETENESS_DEADLINE"),
    ],
)
def test_a_misspelt_variable_is_an_error_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str
) -> None:
    monkeypatch.setenv(misspelt, "5")
    with pytest.raises(PermanentFailure, match=rf"{misspelt} is no setting; did you mean {meant}\?"):
        settings.load()


def test_the_home_is_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.load().home == tmp_path / ".fillrate"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FILLRATE_HOME", "~/elsewhere")
    assert settings.load().home == tmp_path / "elsewhere"
    assert settings.load().storage.lake_root == f"{tmp_path}/elsewhere/lake"


def test_arguments_come_before_the_environment_before_the_file_before_the_defaults(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILLRATE_HOME", str(home))
    assert settings.load().sensor.partition_retry_delay_minutes == 15
    _write_toml(home, "sensor.partition_retry_delay_minutes = 20", "sensor.watermark_overlap_minutes = 21")
    assert (settings.load().sensor.partition_retry_delay_minutes, settings.load().sensor.watermark_overlap_minutes) == (
        20,
        21,
    )
    monkeypatch.setenv("FILLRATE_SENSOR__PARTITION_RETRY_DELAY_MINUTES", "30")
    assert (settings.load().sensor.partition_retry_delay_minutes, settings.load().sensor.watermark_overlap_minutes) == (
        30,
        21,
    )
    assert settings.load(sensor__partition_retry_delay_minutes=40).sensor.partition_retry_delay_minutes == 40


def test_the_file_of_the_requested_home_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for minutes, home in enumerate(homes, start=1):
        home.mkdir()
        _write_toml(home, f"sensor.partition_retry_delay_minutes = {minutes}")
    monkeypatch.setenv("FILLRATE_HOME", str(homes[0]))
    assert settings.load().sensor.partition_retry_delay_minutes == 1
    assert settings.load(home=homes[1]).sensor.partition_retry_delay_minutes == 2


def test_names_of_a_source_come_from_the_file_or_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_toml(
        home,
        "[sources.source_tables.order_lines]",
        'name = "OE"',
        "[sources.source_tables.order_lines.columns]",
        'dc = "WHSE"',
    )
    assert settings.load(home=home).sources.source_tables == {
        "order_lines": SourceTable(name="OE", columns={"dc": "WHSE"})
    }
    monkeypatch.setenv("FILLRATE_SOURCES__SOURCE_TABLES", '{"items": {"schema_name": "MASTER"}}')
    assert settings.load(home=home).sources.source_tables["items"] == SourceTable(schema_name="MASTER")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["health.max_reject_share = 5"], "health.max_reject_share: Input should be less than or equal to 1"),
        (["health.max_missing_share = -0.1"], "health.max_missing_share: Input should be greater than or equal to 0"),
        (["sensor.watermark_overlap_minutes = 0"], "sensor.watermark_overlap_minutes: Input should be greater than 0"),
        (
            ["sensor.partition_retry_delay_minutes = 0"],
            "sensor.partition_retry_delay_minutes: Input should be greater than 0",
        ),
        (['first_ship_date = "soon"'], "first_ship_date: Input should be a valid date"),
        (['sources.order_system_url = "orders.db"'], "sources.order_system_url: String should match pattern"),
        (['storage.watermark_url = "s3://bucket"'], "storage.watermark_url: String should match pattern"),
        (['notifications.alert_topic_arn = "held-days"'], "notifications.alert_topic_arn: String should match pattern"),
        (
            ["[notifications.channels]", 'floor = "hooks.example/x"'],
            "notifications.channels.floor: String should match pattern",
        ),
        (['notifications.webhook_secret = "key"'], "notifications.webhook_secret: String should match pattern"),
        (
            ['notifications.platform_channel = "fax:platform"'],
            "notifications.platform_channel: String should match pattern",
        ),
        (['env = "production"', 'storage.lake_root = "s3://bucket"'], "env: Input should be 'dev' or 'prod'"),
        (["max_rejects = 1"], "max_rejects is no setting; did you mean health.max_reject_share?"),
        (["[health]", "max_missing = 1"], "health.max_missing is no setting; did you mean health.max_missing_share?"),
        (["[senser]", "max_days_per_run = 1"], "senser is no setting; did you mean sensor?"),
        (["[web]", "zzz = 1"], "web.zzz is no setting"),
        (
            ["[sources.source_tables.order_lines]", 'table = "OE"'],
            "sources.source_tables.order_lines.table: Extra inputs are not permitted",
        ),
        (
            ["sensor.partition_retry_delay_minutes = 0", "sensor.watermark_overlap_minutes = 0"],
            "than 0; sensor.partition_retry_delay_minutes: Input should be greater than 0",
        ),
        (["retry_minutes 5"], "Expected '=' after a key"),
    ],
)
def test_wrong_values_are_one_clear_failure(home: Path, lines: list[str], expected: str) -> None:
    _write_toml(home, *lines)
    with pytest.raises(PermanentFailure, match="are wrong: ") as raised:
        settings.load(home=home)
    message = str(raised.value)
    assert message.startswith("settings (FILLRATE_* or settings.toml) are wrong: ")
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FILLRATE_HEALTH__MAX_REJECT_SHARE", "many", "health.max_reject_share: Input should be a valid number"),
        ("FILLRATE_SOURCES__SOURCE_TABLES", "{not json", "sources"),
    ],
)
def test_wrong_variables_are_one_clear_failure(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(PermanentFailure, match=expected):
        settings.load(home=home)


@pytest.mark.parametrize(
    ("env", "name", "shared", "own"),
    [
        ("dev", "storage__lake_root", "s3://bucket/fillrate", "s3://bucket/fillrate/dev"),
        ("prod", "storage__lake_root", "s3://bucket/fillrate", "s3://bucket/fillrate/prod"),
        ("prod", "storage__lake_root", "s3://bucket/", "s3://bucket/prod"),
        ("prod", "storage__lake_root", "/mnt/lake", "/mnt/lake/prod"),
        ("dev", "storage__watermark_url", "ssm://fillrate", "ssm://fillrate/dev"),
        ("prod", "storage__watermark_url", "ssm://fillrate", "ssm://fillrate/prod"),
        ("prod", "storage__watermark_url", "", ""),
        ("dev", "notifications__alert_topic_arn", TOPIC, ""),
        ("prod", "notifications__alert_topic_arn", TOPIC, TOPIC),
        ("dev", "notifications__platform_channel", "slack:platform", ""),
        ("prod", "notifications__platform_channel", "slack:platform", "slack:platform"),
    ],
)
def test_what_environments_share_is_each_ones_own(home: Path, env: str, name: str, shared: str, own: str) -> None:
    made = settings.load(home=home, env=env, **{name: shared})
    assert attrgetter(name.replace("__", "."))(made) == own


@pytest.mark.parametrize(
    ("url", "schema"),
    [
        ("", None),
        ("sqlite:////mnt/records.db", None),
        ("postgresql+psycopg://writer@host/records", "fillrate_prod"),
        ("mssql+pymssql://writer@host/records", "fillrate_prod"),
        ("secret://fillrate/records", "fillrate_prod"),
    ],
)
def test_a_server_keeps_an_environment_in_a_schema(home: Path, url: str, schema: str | None) -> None:
    assert settings.load(home=home, env="prod", storage__record_store_url=url).record_store_schema == schema


def test_a_home_is_its_environments_own(home: Path) -> None:
    made = [settings.load(home=home, env=env) for env in ("dev", "prod")]
    assert made[0] == made[1].model_copy(update={"env": "dev"})


def test_who_does_not_say_which_environment_it_is_cannot_touch_what_is_productive(home: Path) -> None:
    assert settings.load(home=home) == settings.load(home=home, env="dev")


def test_settings_do_not_change(home: Path) -> None:
    made = settings.load(home=home)
    with pytest.raises(ValidationError, match="frozen"):
        made.sensor.partition_retry_delay_minutes = 1
    with pytest.raises(ValidationError, match="frozen"):
        SourceTable().name = "other"


def test_an_earlier_day_moves_where_the_partitions_begin_for_good(home: Path) -> None:
    _write_toml(home, "sensor.partition_retry_delay_minutes = 20", "[sources.source_tables.items]", 'name = "ITEMS"')
    made = settings.load(home=home)
    earlier = made.first_ship_date.replace(year=2024)
    moved = made.begin_no_later_than(earlier)
    assert moved.first_ship_date == earlier
    assert settings.load(home=home) == moved
    assert (moved.sensor.partition_retry_delay_minutes, moved.sources.source_tables["items"].name) == (20, "ITEMS")


def test_a_later_day_moves_nothing(home: Path) -> None:
    made = settings.load(home=home).begin_no_later_than(DAY)
    for day in (DAY, DAY.replace(year=2027)):
        assert made.begin_no_later_than(day) == made
    assert settings.load(home=home).first_ship_date == DAY


def test_the_first_data_of_a_home_say_where_its_partitions_begin(tmp_path: Path) -> None:
    made = settings.load(home=tmp_path / "new")
    assert made.first_ship_date < DAY
    assert made.begin_no_later_than(DAY).first_ship_date == DAY
    assert settings.load(home=tmp_path / "new").first_ship_date == DAY


def test_orders_come_from_fulfillment_in_an_empty_home_alone(home: Path) -> None:
    first = date(2026, 2, 1)
    chosen = settings.load(home=home).with_one_network(first)
    assert (chosen.sources.orders_from_fulfillment, chosen.first_ship_date) == (True, first)
    assert chosen.sources.snapshots_from_inventory
    assert settings.load(home=home) == chosen
    assert chosen.with_one_network(date(2026, 3, 1)) == chosen
    other = home.parent / "other"
    (other / "systems").mkdir(parents=True)
    with pytest.raises(PermanentFailure, match="holds other data already"):
        settings.load(home=other).with_one_network(first)
