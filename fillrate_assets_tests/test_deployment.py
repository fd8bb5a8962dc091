"""What a server is made of: its settings, its instance, and a run through all of it."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import click
import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from click.testing import CliRunner
from dagster._cli import cli as dagster
from dagster._config import process_config
from dagster._daemon.cli import cli as dagster_daemon
from dotenv import dotenv_values

from fillrate_assets import settings
from fillrate_assets.cli import main
from fillrate_assets.definitions import JOB, build_defs
from fillrate_assets.environments import ENVIRONMENTS
from fillrate_assets.fillrate.defs import assets
from fillrate_assets.orchestration import partitions
from fillrate_assets_tests.conftest import ROOT, TINY, copy_home
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until
from fillrate_assets_tests.fixtures.postgres import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.first]

DEPLOY: Final = ROOT / "deploy"
EXAMPLE: Final = ROOT / ".env.example"
OF_SERVERS: Final = "# What may be left out"
NO_NETWORK: Final = """\
import socket
_connect = socket.socket.connect
def connect(self, address):
    if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1", "localhost"}:
        raise AssertionError(f"a connection to {address} was opened")
    return _connect(self, address)
socket.socket.connect = connect
"""
PROGRAMS: Final[dict[str, click.Command]] = {"dagster": dagster, "dagster-daemon": dagster_daemon}
DC: Final = TINY.dc_codes[0]
DAYS: Final = [TINY.first + timedelta(days=number) for number in range(4)]


def _read_yaml(path: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(path.read_text())
    assert isinstance(loaded, dict)
    return loaded


def _read_example(text: str) -> dict[str, str]:
    """The variables of a part of the example."""
    return {name: value or "" for name, value in dotenv_values(stream=StringIO(text), interpolate=False).items()}


@pytest.fixture(params=sorted(ENVIRONMENTS))
def as_in_the_example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment that the example describes, as this process's; its name."""
    for name, value in _read_example(EXAMPLE.read_text()).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FILLRATE_ENV", request.param)
    return str(request.param)


def test_the_example_names_every_setting_and_no_other() -> None:
    named = {name for name in _read_example(EXAMPLE.read_text()) if name.startswith("FILLRATE_")}
    assert named == {setting.variable for setting in settings.list_settings()}


def test_the_example_is_one_of_a_server(as_in_the_example: str) -> None:
    made = settings.load()
    assert made.env == as_in_the_example
    assert made.record_store_schema == f"fillrate_{as_in_the_example}"
    assert made.storage.lake_root.endswith(f"/{as_in_the_example}")
    assert made.storage.watermark_url.endswith(f"/{as_in_the_example}")
    assert bool(made.notifications.alert_topic_arn) is (as_in_the_example == "prod")


def test_what_the_example_says_may_be_left_out_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = settings.load(home=tmp_path)
    _, optional = EXAMPLE.read_text().split(OF_SERVERS)
    shown = {name: value for name, value in _read_example(optional).items() if name.startswith("FILLRATE_")}
    for name, value in shown.items():
        monkeypatch.setenv(name, value)
    assert settings.load(home=tmp_path) == default
    assert len(shown) > 10


def test_compose_needs_nothing_that_the_example_does_not_name() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    needed = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    assert needed <= set(_read_example(EXAMPLE.read_text()))
    given = _read_yaml(DEPLOY / "compose.yaml")["x-platform"]["environment"]
    wanted = set(re.findall(r"env: (\w+)", (DEPLOY / "dagster.yaml").read_text()))
    assert wanted == set(given)


@pytest.mark.usefixtures("as_in_the_example")
def test_the_definitions_load_in_each_environment_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    # What `NO_NETWORK` replaces is put back afterwards.
    monkeypatch.setattr(socket.socket, "connect", socket.socket.connect)
    exec(NO_NETWORK, {})  # noqa: S102 - our own
    dg.Definitions.validate_loadable(build_defs(settings.load()))


@pytest.mark.parametrize("as_in_the_example", ["prod"], indirect=True)
@pytest.mark.usefixtures("as_in_the_example")
def test_the_definitions_validate_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [_find_program("dagster"), "definitions", "validate", "--workspace", str(ROOT / "workspace.yaml")]
    done = subprocess.run(  # noqa: S603 - Dagster's own program
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation." in done.stdout + done.stderr
    assert not (tmp_path / "home").exists()


def test_every_instance_queues_and_watches_runs_alike() -> None:
    embedded, server, plus = (
        _read_yaml(path)
        for path in (ROOT / "dagster.yaml", DEPLOY / "dagster.yaml", DEPLOY / "deployment_settings.yaml")
    )
    for name in ("run_coordinator", "run_monitoring", "run_retries", "concurrency", "telemetry", "nux"):
        assert server.get(name) == embedded.get(name), name
    assert plus["concurrency"] == embedded["concurrency"]
    # Whether launchers are asked, and how often, is Dagster+'s own.
    unset = {"enabled", "poll_interval_seconds"}
    for name in ("run_monitoring", "run_retries"):
        assert plus[name] == {k: v for k, v in embedded[name].items() if k not in unset}
    assert embedded["run_launcher"] == LAUNCHERS["here"]


def test_every_deployment_loads_the_same_code() -> None:
    (embedded,) = _read_yaml(ROOT / "workspace.yaml")["load_from"]
    (served,) = _read_yaml(DEPLOY / "workspace.yaml")["load_from"]
    (plus,) = _read_yaml(ROOT / "dagster_cloud.yaml")["locations"]
    module, location = embedded["python_module"]["module_name"], embedded["python_module"]["location_name"]
    assert served["grpc_server"]["location_name"] == plus["location_name"] == location
    assert plus["code_source"] == {"module_name": module}
    code = _read_yaml(DEPLOY / "compose.yaml")["services"]["code"]
    command = re.findall(r'"([^"]+)"', (DEPLOY / "Dockerfile").read_text().split("CMD ")[1])
    assert command[command.index("--module-name") + 1] == module
    assert command[command.index("--port") + 1] == str(served["grpc_server"]["port"]) == code["healthcheck"]["test"][-1]


LAUNCHERS: Final = {path.stem: _read_yaml(path)["run_launcher"] for path in (DEPLOY / "launchers").glob("*.yaml")}
_SHOW_STATE: Final = [sys.executable, "-c", "import os; print(os.environ.get('DAGSTER_POSTGRES_URL'))"]


def _start_image(dagster_home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Start a program as the image does; it prints the URL of Dagster's state."""
    env = {"PATH": os.environ["PATH"], "DAGSTER_HOME": str(dagster_home), **variables}
    return subprocess.run(  # noqa: S603 - our own script
        [str(DEPLOY / "entrypoint.sh"), *_SHOW_STATE], env=env, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("launcher", ["", *LAUNCHERS])
def test_the_image_makes_an_instance_of_the_launcher_that_is_chosen(launcher: str, tmp_path: Path) -> None:
    for _ in range(2):
        done = _start_image(tmp_path, **({"DAGSTER_RUN_LAUNCHER": launcher} if launcher else {}))
        assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")
    made = _read_yaml(tmp_path / "dagster.yaml")
    assert made.pop("run_launcher") == LAUNCHERS[launcher or "here"]
    assert made == _read_yaml(DEPLOY / "dagster.yaml")
    assert _read_yaml(tmp_path / "workspace.yaml") == _read_yaml(DEPLOY / "workspace.yaml")


def test_the_image_leaves_an_instance_alone_that_it_has_not_made(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("of: a chart\n")
    assert _start_image(tmp_path, DAGSTER_RUN_LAUNCHER="kubernetes").returncode == 0
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("dagster.yaml", "of: a chart\n")]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_each_launcher_takes_its_configuration(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = LAUNCHERS[launcher]
    for name in re.findall(r"'env': '(\w+)'", str(given)):
        monkeypatch.setenv(name, "given")
    kind = getattr(importlib.import_module(given["module"]), given["class"])
    assert process_config(kind.config_type(), given.get("config", {})).success
    assert not process_config(kind.config_type(), {"no_such_setting": 1}).success


def test_the_image_makes_one_url_of_the_parts_that_a_platform_gives(tmp_path: Path) -> None:
    parts = {"HOST": "db.example", "PORT": "5439", "NAME": "fillrate", "USER": "fillrate", "PASSWORD": "a1-b_c.d"}
    done = _start_image(tmp_path, **{f"DATABASE_{name}": value for name, value in parts.items()})
    url = sa.make_url(done.stdout.strip())
    assert url.drivername == "postgresql+psycopg2"
    assert (url.host, url.port, url.database, url.username, url.password) == (
        *("db.example", 5439, "fillrate", "fillrate", "a1-b_c.d"),
    )
    assert dict(url.query) == {"sslmode": "require"}
    assert _start_image(tmp_path, DAGSTER_POSTGRES_URL="postgresql://x", DATABASE_HOST="y").stdout == "postgresql://x\n"


def test_a_launcher_that_there_is_not_is_one_line(tmp_path: Path) -> None:
    done = _start_image(tmp_path, DAGSTER_RUN_LAUNCHER="nomad")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"DAGSTER_RUN_LAUNCHER is nomad; there are: {' '.join(sorted(LAUNCHERS))} \n"
    assert not [*tmp_path.iterdir()]


@pytest.fixture
def served(
    tiny_template: Path,
    tmp_path: Path,
    postgres: Postgres,
    aws: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Home:
    """A platform whose record store, lake and instance are on servers, as this process's environment."""
    dagster_home = tmp_path / "dagster"
    dagster_home.mkdir()
    shutil.copy(DEPLOY / "dagster.yaml", dagster_home)
    state = sa.make_url(postgres.create_database(f"dagster {uuid4()}")).set(drivername="postgresql+psycopg2")
    home = copy_home(tiny_template, tmp_path)
    environment = {
        "AWS_DEFAULT_REGION": aws.environment["AWS_REGION"],
        "DAGSTER_HOME": str(dagster_home),
        "DAGSTER_POSTGRES_URL": state.render_as_string(hide_password=False),
        "DAGSTER_LOGS_BUCKET": aws.create_bucket(),
        "DAGSTER_LOGS_PREFIX": "dagster/dev",
        "DAGSTER_EVENT_BATCH_SIZE": "1000",
        "FILLRATE_ENV": "dev",
        "FILLRATE_HOME": str(home),
        "FILLRATE_STORAGE__RECORD_STORE_URL": postgres.create_database(f"records {uuid4()}"),
        "FILLRATE_STORAGE__LAKE_ROOT": f"s3://{aws.create_bucket()}/lake",
        "PYTHONPATH": str(ROOT),
    }
    embedded = Home(home)
    masters = embedded.store.read_dcs(), embedded.store.read_waivers()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    _invoke("dagster", "instance", "migrate")
    assert main.execute(["upgrade"]) == 0
    assert capsys.readouterr().out == "the record store is up to date\n"
    made = Home(home)
    made.store.add_dcs(masters[0])
    made.store.add_waivers(masters[1])
    return made


def _find_program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _invoke(program: str, *arguments: str) -> None:
    """Run a command of Dagster that has to succeed, in this process: to import Dagster again takes seconds."""
    done = CliRunner().invoke(PROGRAMS[program], arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output


@contextmanager
def _start(name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of Dagster, until the block ends."""
    directory = Path(os.environ["DAGSTER_HOME"])
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([_find_program(name), *arguments], stdout=log, stderr=log, cwd=directory)  # noqa: S603 - as above
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            finally:
                process.kill()


def _wait_until(done: Callable[[], bool], *processes: subprocess.Popen[bytes]) -> None:
    """Wait for something that the processes bring about."""

    def read_logs() -> list[str]:
        return [path.read_text() for path in Path(os.environ["DAGSTER_HOME"]).glob("*.log")]

    def reached() -> bool:
        assert all(process.poll() is None for process in processes), read_logs()
        return done()

    wait_until(reached, read_logs)


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def server(served: Home) -> Iterator[dg.DagsterInstance]:
    """The code location and the daemon as deploy/compose.yaml starts them; their instance."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    workspace = _read_yaml(DEPLOY / "workspace.yaml")
    workspace["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": int(port)}
    (Path(os.environ["DAGSTER_HOME"]) / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    listening = ("api", "grpc", "--host", "127.0.0.1", "--port", port, "--module-name", "fillrate_assets.definitions")
    health = ("api", "grpc-health-check", "--port", port)
    with _start("dagster", *listening) as code, dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("dc", served.store.read_dcs()["dc"].to_list())
        # As the compose file checks, but not before there is something to check.
        _wait_until(lambda: _is_listening(int(port)), code)
        _wait_until(lambda: CliRunner().invoke(dagster, health).exit_code == 0, code)
        with _start("dagster-daemon", "run", "--workspace", "workspace.yaml") as daemon:
            yield instance
            assert daemon.poll() is None
        assert code.poll() is None


@pytest.mark.sweep
def test_a_run_goes_through_the_queue_of_a_server_to_its_systems(
    server: dg.DagsterInstance, served: Home, aws: Cloud
) -> None:
    tags = json.dumps(partitions.make_range_tags(DC, DAYS[0], DAYS[-1]))
    run_id = str(uuid4())
    workspace = str(Path(os.environ["DAGSTER_HOME"], "workspace.yaml"))
    _invoke("dagster", "job", "launch", "--workspace", workspace, "--job", JOB, "--tags", tags, "--run-id", run_id)

    def has_ended() -> bool:
        run = server.get_run_by_id(run_id)
        return run is not None and run.is_finished

    _wait_until(has_ended)
    _invoke("dagster-daemon", "liveness-check")
    run = server.get_run_by_id(run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.SUCCESS, [entry.user_message for entry in server.all_logs(run_id)][-20:]

    # The records are in the environment's schema, the frames and the logs in its places on S3.
    assert {dc for dc, *_ in served.read_stored()["lost_cases"]} == {DC}
    bucket, place = served.settings.storage.lake_root.removeprefix("s3://").split("/", 1)
    assert place == "lake/dev"
    assert {key.split("/")[1] for key in aws.list_keys(bucket)} == {"dev"}
    logs = aws.list_keys(os.environ["DAGSTER_LOGS_BUCKET"])
    assert logs
    assert all(key.startswith(f"dagster/dev/storage/{run_id}/compute_logs/") for key in logs)
    said = "".join(_read_log(aws, key) for key in logs)
    assert "published_records" in said
    assert "storing event batch" not in said

    # What the platform logs is in the log of the run, since this environment logs so much.
    assert any(entry.user_message.startswith("order system: ") for entry in server.all_logs(run_id))
    assert _count_transactions(run_id) == dict.fromkeys(
        (asset.key.to_python_identifier() for asset in assets.ASSETS), 1
    )


def _read_log(aws: Cloud, key: str) -> str:
    body = aws.make_client("s3").get_object(Bucket=os.environ["DAGSTER_LOGS_BUCKET"], Key=key)["Body"]
    return str(body.read().decode())


def _count_transactions(run_id: str) -> dict[str, int]:
    """In how many transactions the instance stored the materializations of each step."""
    engine = sa.create_engine(os.environ["DAGSTER_POSTGRES_URL"], poolclass=sa.NullPool)
    statement = sa.text(
        "SELECT step_key, count(DISTINCT CAST(xmin AS text)) AS transactions FROM event_logs"
        " WHERE run_id = :run_id AND dagster_event_type = 'ASSET_MATERIALIZATION' GROUP BY step_key"
    )
    with engine.connect() as connection:
        return {row.step_key: row.transactions for row in connection.execute(statement, {"run_id": run_id})}
