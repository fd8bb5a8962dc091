"""From a clean clone to the first event handled: two environments side by side on the local AWS of the tests.

    python -m benchmarks.deployment                      # some minutes: it installs everything into a clone
    python -m benchmarks.deployment --folder /var/tmp/x  # the clone there, and it stays

Clones this repository, `make install`, installs the CLI of the CDK, starts the local AWS, and runs `make deploy` for
`dev` and for `prod`, of the stack of events; the platform's needs Docker and an account. Then an order is submitted to
each, and is to be in the log of its environment and in no other. Functions run as processes of this machine, from the
clone. Nothing is taken from where this runs but its Python, Node and what pip and npm have cached.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from fillrate_assets.aws import client
from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.fulfillment.dynamo_log import DynamoLog

ROOT: Final = Path(__file__).parent.parent
ENVIRONMENTS: Final = ("dev", "prod")
REGION: Final = "eu-central-1"
RECEIVED: Final = "RECEIVED"
_LONGEST_SECONDS: Final = 3600
_INHERITED: Final = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("AWS_", "FILLRATE_", "DAGSTER_", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VIRTUAL_ENV"))
}
"""What programs get of the environment that runs this: no account, setting or flag of it."""
_SETTINGS: Final = {"TABLE": "Table", "QUEUE_URLS": "QueueUrls"} | {
    f"{name.upper()}_QUEUE_URL": f"{found}QueueUrl"
    for name, found in (("deferred", "Deferred"), ("parked", "Parked"), ("dead_letter", "DeadLetter"))
}


def main() -> int:
    """Deploy, submit, and print the minutes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--folder", type=Path, help="a new folder for the clone, which stays; default: temporary")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deployment-") as made:
        clone = (arguments.folder or Path(made)).absolute() / "clone"
        watch = Watch()
        run("git", "clone", "--quiet", str(ROOT), str(clone), cwd=ROOT)
        run("make", "install", cwd=clone)
        watch.note("clone and make install")
        with start_cloud(clone, Path(made)) as environment:
            deploy(clone, environment, watch)
    watch.note("in all", since_begin=True)
    return 0


class Watch:
    """What took how long."""

    def __init__(self) -> None:
        """Begin now."""
        self._begun = self._last = monotonic()

    def note(self, what: str, *, since_begin: bool = False) -> None:
        """Print the minutes since the last note, or since the begin."""
        now = monotonic()
        print(f"{what:<50}{(now - (self._begun if since_begin else self._last)) / 60:>8.1f} minutes", flush=True)
        self._last = now


def deploy(clone: Path, environment: Mapping[str, str], watch: Watch) -> None:
    """Deploy both environments and send each an order."""
    write_context(clone, environment)
    run("npm", "ci", "--prefix", "infrastructure", cwd=clone)
    watch.note("npm ci")
    run("infrastructure/node_modules/.bin/cdk", "bootstrap", f"aws://000000000000/{REGION}", cwd=clone, **environment)
    watch.note("cdk bootstrap")
    os.environ.update(environment)
    tables = {}
    for name in ENVIRONMENTS:
        run("make", "deploy", f"ENV={name}", cwd=clone, **environment)
        watch.note(f"make deploy ENV={name}")
        outputs = read_outputs(name)
        submit(clone, environment, outputs, f"order-of-{name}")
        tables[name] = DynamoLog(DynamoTable(outputs["Table"]), "1.0")
        wait_for(tables[name], f"order-of-{name}")
        watch.note(f"the first event of {name}, until it is in the log")
    for name, log in tables.items():
        for other in ENVIRONMENTS:
            if (log.read_head(f"order-of-{other}").state == RECEIVED) is not (name == other):
                sys.exit(f"the log of {name} has the order-of-{other} as {log.read_head(f'order-of-{other}')}")
    print("each order is in the log of its environment, and in no other")


def write_context(clone: Path, environment: Mapping[str, str]) -> None:
    """Write what differs on the local AWS: the code of functions is that of the clone, run by its Python."""
    code = clone / "local-code"
    code.mkdir()
    found = {name: value for name, value in environment.items() if not name.startswith(("AWS_ACCESS", "AWS_SECRET"))}
    exported = "".join(f"export {name}='{value}'\n" for name, value in {**found, "PYTHONPATH": f"{clone}:."}.items())
    python = clone / ".venv" / "bin" / "python"
    (code / "bootstrap").write_text(f"#!/bin/sh\n{exported}exec {python} -W ignore -m awslambdaric $_HANDLER\n")
    (code / "bootstrap").chmod(0o755)
    context = {"stacks": ["fulfillment"], "code": str(code), "runtime": "provided.al2023", "destroys_data": "true"}
    (clone / "cdk.context.json").write_text(json.dumps(context))


def read_outputs(name: str) -> dict[str, str]:
    """Read what the stack of an environment puts out."""
    stacks = client.get_client("cloudformation").describe_stacks(StackName=f"fillrate-{name}-fulfillment")["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stacks[0]["Outputs"]}


def submit(clone: Path, environment: Mapping[str, str], outputs: Mapping[str, str], order_id: str) -> None:
    """Submit an order as operators do."""
    document = {
        "type": "OrderReceived",
        "order_id": order_id,
        "dc": "DC01",
        "ship_date": "2026-02-12",
        "source": "oms",
        "source_version": 1,
        "occurred_at": "2026-02-10T12:00:00Z",
        "payload": {"customer": "C1", "lines": [{"line_no": 1, "item": "A", "cases": "5"}]},
    }
    given = {f"FILLRATE_FULFILLMENT_AWS__{name}": outputs[output] for name, output in _SETTINGS.items()}
    given |= {"FILLRATE_HOME": str(clone / ".fillrate"), **environment}
    run(".venv/bin/fillrate", "fulfillment", "submit", "-", cwd=clone, said=json.dumps(document), **given)


def wait_for(log: DynamoLog, order_id: str) -> None:
    """Wait until an order is in the log."""
    give_up = monotonic() + _LONGEST_SECONDS
    while log.read_head(order_id).state != RECEIVED:
        if monotonic() > give_up:
            sys.exit(f"{order_id} is not in the log: {log.read_head(order_id)}")
        sleep(0.1)


@contextmanager
def start_cloud(clone: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Start the local AWS of the clone; yields the environment in which tools use it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "aws"
    data.mkdir()
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "TMPDIR": str(data),
        "LOG_LEVEL": "ERROR",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
    server = clone / "fillrate_assets_tests" / "fixtures" / "cloud_server.py"
    command = [str(clone / ".venv" / "aws-server" / "bin" / "python"), str(server)]
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(command, env=_INHERITED | settings, cwd=data, stdout=log, stderr=log)  # noqa: S603 - our own
        try:
            wait_for_port(port, process, data / "log")
            yield {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        finally:
            process.terminate()
            process.wait(60)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something listens."""
    give_up = monotonic() + 120
    while monotonic() < give_up and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        sleep(0.1)
    sys.exit(f"the local AWS does not start: {log.read_text()}")


def run(program: str, *arguments: str, cwd: Path, said: str | None = None, **environment: str) -> None:
    """Run a program that has to succeed; what it prints is shown where it does not."""
    found = shutil.which(program) or str(cwd / program)
    done = subprocess.run(  # noqa: S603 - our own
        [found, *arguments],
        cwd=cwd,
        env=_INHERITED | environment,
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONGEST_SECONDS,
    )
    if done.returncode:
        sys.exit(f"{program} {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
