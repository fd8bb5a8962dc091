"""Workers of Celery at one broker: two against one, and what is left when parts are killed on the way.

    python -m benchmarks.celery_workers                       # 4 DCs x 200 items x 30 days: one worker, then two
    python -m benchmarks.celery_workers --dcs 2 --kill        # also: a backfill in which each part is killed once

Every part is a process on this machine, as on several: PostgreSQL with Dagster's state and the records, Redis, the code
location, the webserver, the daemon, and workers. They share a sample network, which is only read, and a lake. The
programs of PostgreSQL and redis-server have to be on the PATH, or in the directory that --programs names.

The backfill is one run per DC. How many DCs are done a minute counts from the first launch to the last end. In the
second part a worker, the broker, the daemon and PostgreSQL are killed, one after another, each when the backfill goes
on after the one before it, and started again. All three have to leave the same records.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Final, TypeVar

import dagster as dg
import httpx
import polars as pl
import sqlalchemy as sa
import yaml
from dagster_graphql import DagsterGraphQLClient

from benchmarks.backfill import SOURCE_URLS, fill
from fillrate_assets import settings as settings_module
from fillrate_assets.definitions import JOB
from fillrate_assets.fillrate.record_store import RECORDS, RecordStore
from fillrate_assets.orchestration import partitions
from fillrate_assets.sample.network import Network
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database

ROOT: Final = Path(__file__).parent.parent
LONGEST_SECONDS: Final = 1800
"""Of each backfill: then the benchmark fails, and ends all that it started."""

POLL_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 120
"""Of a program that answers or ends at once, on a machine that is busy."""

LOCATION: Final = "fillrate_assets"
BROKER, CODE, WEB, DATABASE = 16379, 14000, 13000, 15432
"""Ports of this machine."""

ENDED: Final = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
USER: Final = "nobody"
"""As whom PostgreSQL runs, which refuses to as root."""

T = TypeVar("T")
Start = Callable[[], "subprocess.Popen[bytes]"]


@dataclass
class Parts:
    """What runs, by name, and how each is started."""

    directory: Path
    starts: dict[str, Start] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: object, user: str | None = None, **variables: str) -> None:
        """Start a program in a process group of its own; it says what it does in a log beside it."""

        def start() -> subprocess.Popen[bytes]:
            with (self.directory / f"{name}.log").open("ab") as log:
                return subprocess.Popen(  # noqa: S603 - the programs of the platform
                    list(map(str, command)),
                    env={**os.environ, **variables},
                    cwd=self.directory,
                    stdout=log,
                    stderr=log,
                    user=user,
                    start_new_session=True,
                )

        self.starts[name] = start
        self.processes[name] = start()

    def kill(self, name: str) -> None:
        """Kill a part with all its processes, as a power cut would."""
        process = self.processes[name]
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_PATIENCE_SECONDS)

    def start_again(self, name: str) -> None:
        """Start a part that was killed."""
        self.processes[name] = self.starts[name]()

    def end(self) -> None:
        """End all parts in good order, the last one first, or else at once."""
        while self.processes:
            _, process = self.processes.popitem()
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(_PATIENCE_SECONDS)


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--dcs", type=int, default=4, help="DCs (default: 4)")
    parser.add_argument("--items", type=int, default=200, help="items (default: 200)")
    parser.add_argument("--days", type=int, default=30, help="days of history (default: 30)")
    parser.add_argument("--kill", action="store_true", help="kill each part once in a third backfill")
    parser.add_argument("--programs", type=Path, help="where initdb and postgres are; default: on the PATH")
    arguments = parser.parse_args()
    network = Network(dcs=arguments.dcs, items=arguments.items, days=arguments.days)
    if arguments.programs is not None:
        os.environ["PATH"] = f"{arguments.programs}{os.pathsep}{os.environ['PATH']}"
    left = {}
    with tempfile.TemporaryDirectory(prefix="celery-", ignore_cleanup_errors=True) as made:
        directory = Path(made)
        directory.chmod(0o755)
        fill(directory / "sample", network)
        rates = {}
        for workers in (1, 2):
            name = f"workers-{workers}"
            with open_platform(directory, name, network, workers) as platform:
                seconds = platform.backfill()
                left[name] = platform.read_records()
            rates[workers] = 60 * network.dcs / seconds
            print(f"{workers} workers: {rates[workers]:.2f} DCs a minute", flush=True)
        print(f"two workers against one: {rates[2] / rates[1]:.2f}x")
        if arguments.kill:
            with open_platform(directory, "killed", network, 2) as platform:
                platform.backfill(["worker-1", "broker", "daemon", "postgres"])
                left["killed"] = platform.read_records()
    expected = left["workers-1"]
    wrong = [name for name, records in left.items() if not records.equals(expected)]
    print(f"records: {expected.height:,}; " + (f"others in {', '.join(wrong)}" if wrong else "the same in each"))
    return int(bool(wrong))


@dataclass
class Platform:
    """A platform of processes, and its backfill."""

    parts: Parts
    settings: Settings
    network: Network

    def backfill(self, killed: Sequence[str] = ()) -> float:
        """Run each DC, and kill parts on the way; the seconds from the first launch to the last end."""
        client = DagsterGraphQLClient("127.0.0.1", port_number=WEB)
        begun = monotonic()
        for dc in self.network.dc_codes:
            tags = partitions.make_range_tags(dc, self.network.first, self.network.last)
            client.submit_job_execution(JOB, repository_location_name=LOCATION, tags=tags)
        for name in killed:
            before = self._count_steps()
            wait(lambda before=before: self._count_steps() > before or self._has_ended())  # type: ignore[misc]
            self.parts.kill(name)
            print(f"killed {name} after {monotonic() - begun:.0f} s", flush=True)
            self.parts.start_again(name)
        wait(self._has_ended)
        seconds = monotonic() - begun
        if killed:
            counts: dict[str, int] = {}
            for status in self._list_statuses():
                counts[status.value] = counts.get(status.value, 0) + 1
            print(f"runs: {counts}, ended after {seconds:.0f} s")
        return seconds

    def read_records(self) -> pl.DataFrame:
        """Read which records there are, and what each says as one number."""
        columns = [RECORDS.c[name] for name in ("dc", "ship_date", "item", "fingerprint")]
        with Database.from_settings(self.settings).connect() as connection:
            rows = connection.execute(sa.select(*columns)).all()
        return pl.DataFrame([tuple(row) for row in rows], orient="row").sort(pl.all())

    def _count_steps(self) -> int:
        return self._read(lambda instance: len(_list_done(instance)))

    def _has_ended(self) -> bool:
        """Whether a run of each DC ended well, and none goes on."""
        statuses = self._list_statuses()
        done = statuses.count(dg.DagsterRunStatus.SUCCESS) >= self.network.dcs
        return done and set(statuses) <= ENDED

    def _list_statuses(self) -> list[dg.DagsterRunStatus]:
        return self._read(lambda instance: [run.status for run in instance.get_runs()])

    def _read(self, read: Callable[[dg.DagsterInstance], T]) -> T:
        """Read something of the instance, whose database may be away for a while."""
        answers: list[T] = []

        def try_to() -> bool:
            with suppress(sa.exc.OperationalError), dg.DagsterInstance.get() as instance:
                answers.append(read(instance))
            return bool(answers)

        wait(try_to)
        return answers[0]


def _list_done(instance: dg.DagsterInstance) -> list[Any]:
    return [
        stats
        for run in instance.get_runs()
        for stats in instance.get_run_step_stats(run.run_id)
        if stats.end_time is not None
    ]


@contextmanager
def open_platform(directory: Path, name: str, network: Network, workers: int) -> Iterator[Platform]:
    """Start all parts of a platform of its own over the sample; they are gone afterwards."""
    made = directory / name
    made.mkdir()
    made.chmod(0o777)
    parts = Parts(made)
    with ExitStack() as stack:
        stack.callback(parts.end)
        _start_postgres(parts)
        parts.start("broker", "redis-server", "--port", BROKER, "--dir", made, "--appendonly", "yes")
        settings = _make_settings(made, directory / "sample")
        _make_home(made)
        _run("dagster", "instance", "migrate")
        with dg.DagsterInstance.get() as instance:
            instance.add_dynamic_partitions(str(partitions.DC.name), network.dc_codes)
        at = ("--host", "127.0.0.1", "--port")
        parts.start("code", _find("dagster"), "api", "grpc", *at, CODE, "--module-name", "fillrate_assets.definitions")
        wait(lambda: _answers("dagster", "api", "grpc-health-check", "--port", str(CODE)))
        parts.start("web", _find("dagster-webserver"), *at, WEB, "--workspace", "workspace.yaml")
        parts.start("daemon", _find("dagster-daemon"), "run", "--workspace", "workspace.yaml")
        app = ("--app", "fillrate_assets.orchestration.celery_worker")
        for number in range(1, workers + 1):
            own = ("--hostname", f"{number}@%h", "--concurrency", 1, "--queues", "dagster", "--loglevel", "WARNING")
            parts.start(f"worker-{number}", _find("celery"), *app, "worker", *own, POLARS_MAX_THREADS="1")
        wait(lambda: _answers("celery", *app, "inspect", "ping", "--destination", f"{workers}@{os.uname().nodename}"))
        wait(_is_served)
        yield Platform(parts, settings, network)


def _start_postgres(parts: Parts) -> None:
    data = parts.directory / "data"
    user = USER if os.geteuid() == 0 else None
    data.mkdir(mode=0o700)
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(data, account.pw_uid, account.pw_gid)
    made = ["initdb", "--pgdata", str(data), "--username", "postgres", "--auth", "trust", "--locale", "C"]
    subprocess.run(  # noqa: S603 - PostgreSQL's own program
        [*made, "--encoding", "UTF8"],
        check=True,
        user=user,
        stdout=subprocess.DEVNULL,
        cwd="/",
        timeout=_PATIENCE_SECONDS,
    )
    options = ["-clisten_addresses=127.0.0.1", f"-cport={DATABASE}", f"-cunix_socket_directories={data}"]
    parts.start("postgres", _find_program("postgres"), "-D", data, *options, user=user)
    engine = sa.create_engine(_make_url("psycopg", "postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    def create() -> bool:
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("CREATE DATABASE dagster")
                connection.exec_driver_sql("CREATE DATABASE records")
        except sa.exc.OperationalError:
            return False
        return True

    wait(create)


def _make_url(driver: str, database: str) -> str:
    return f"postgresql+{driver}://postgres@127.0.0.1:{DATABASE}/{database}"


def _make_settings(made: Path, filled: Path) -> Settings:
    """Make a platform over the filled sources: its records in PostgreSQL, its lake in a directory that all share."""
    sample = settings_module.load(home=filled)
    os.environ.update(
        DAGSTER_HOME=str(made),
        DAGSTER_EVENT_BATCH_SIZE="1000",
        DAGSTER_POSTGRES_URL=_make_url("psycopg2", "dagster"),
        DAGSTER_CELERY_BROKER_URL=f"redis://127.0.0.1:{BROKER}/0",
        FILLRATE_HOME=str(made),
        FILLRATE_ENV="dev",
        FILLRATE_FIRST_SHIP_DATE=str(sample.first_ship_date),
        FILLRATE_STORAGE__RECORD_STORE_URL=_make_url("psycopg", "records"),
        FILLRATE_STORAGE__LAKE_ROOT=str(made / "lake"),
        **{f"FILLRATE_SOURCES__{each.upper()}": getattr(sample.sources, each) for each in SOURCE_URLS},
    )
    settings = settings_module.load()
    store, masters = RecordStore(Database.from_settings(settings)), RecordStore(Database.from_settings(sample))
    store.database.upgrade()
    store.add_dcs(masters.read_dcs())
    store.add_waivers(masters.read_waivers())
    return settings


def _make_home(made: Path) -> None:
    """Write the instance as the image does, less the logs of runs, which need S3."""
    instance = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text())
    instance |= yaml.safe_load((ROOT / "deploy" / "launchers" / "celery.yaml").read_text())
    instance["compute_logs"] = {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
    (made / "dagster.yaml").write_text(yaml.safe_dump(instance))
    server = {"host": "127.0.0.1", "port": CODE, "location_name": LOCATION}
    (made / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))


def wait(done: Callable[[], bool]) -> None:
    """Wait for something, but not for ever.

    Raises:
        TimeoutError: it did not come.

    """
    deadline, pause = monotonic() + LONGEST_SECONDS, Event()
    while not done():
        if monotonic() > deadline:
            msg = f"nothing came of it in {LONGEST_SECONDS} s: {done}"
            raise TimeoutError(msg)
        pause.wait(POLL_SECONDS)


def _is_served() -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{WEB}/server_info").is_success
    except httpx.TransportError:
        return False


def _answers(program: str, *arguments: str) -> bool:
    done = subprocess.run([_find(program), *arguments], check=False, capture_output=True, timeout=_PATIENCE_SECONDS)  # noqa: S603 - as above
    return done.returncode == 0


def _run(program: str, *arguments: str) -> None:
    subprocess.run([_find(program), *arguments], check=True, capture_output=True, timeout=_PATIENCE_SECONDS)  # noqa: S603 - as above


def _find(program: str) -> str:
    """Find a program beside this interpreter."""
    return str(Path(sys.executable).with_name(program))


def _find_program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        msg = f"no {name} on the PATH: name its directory by --programs"
        raise SystemExit(msg)
    return found


if __name__ == "__main__":
    sys.exit(main())
