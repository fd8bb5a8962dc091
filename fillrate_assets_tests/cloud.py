"""A local AWS: an emulator that the tests start on a free loopback port and stop by its process."""

from __future__ import annotations

import http.client
import http.server
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import polars as pl

REGION: Final = "eu-central-1"
_START_SECONDS: Final = 60


@dataclass(frozen=True)
class Topic:
    """A topic of SNS, and a queue that hears it."""

    arn: str
    queue: str
    sqs: Any

    def heard(self) -> list[tuple[str, str]]:
        """Subjects and messages since the last time."""
        found = []
        while messages := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for each in messages:
                told = json.loads(each["Body"])
                found.append((told["Subject"], told["Message"]))
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=each["ReceiptHandle"])
        return found


@dataclass(frozen=True)
class Cloud:
    """Where the emulator listens."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use it as its AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients while it runs
        """A client beside the platform's own."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the emulator takes any
        )

    def topic(self) -> Topic:
        """A new topic of SNS."""
        sns, sqs, name = self.client("sns"), self.client("sqs"), f"alerts-{uuid.uuid4().hex}"
        arn, queue = sns.create_topic(Name=name)["TopicArn"], sqs.create_queue(QueueName=name)["QueueUrl"]
        endpoint = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=endpoint)
        return Topic(arn, queue, sqs)

    def bucket(self) -> str:
        """A new bucket of S3."""
        name = f"bucket-{uuid.uuid4().hex}"
        self.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name

    def keys(self, bucket: str) -> list[str]:
        """Everything in a bucket."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def warehouse(self, snapshots: pl.DataFrame) -> str:
        """A table of instock snapshots in Athena, a Parquet file per DC and date; its URL."""
        bucket, database = self.bucket(), f"warehouse_{uuid.uuid4().hex}"
        s3, glue = self.client("s3"), self.client("glue")
        for (dc, day), part in snapshots.partition_by("dc", "snapshot_date", as_dict=True, include_key=False).items():
            content = io.BytesIO()
            part.write_parquet(content)
            key = f"stock/dc={dc}/snapshot_date={day}/part-0.parquet"
            s3.put_object(Bucket=bucket, Key=key, Body=content.getvalue())
        glue.create_database(DatabaseInput={"Name": database})
        glue.create_table(
            DatabaseName=database,
            TableInput={
                "Name": "instock_snapshots",
                "StorageDescriptor": {
                    "Location": f"s3://{bucket}/stock",
                    "Columns": [{"Name": "item", "Type": "string"}],
                },
                "PartitionKeys": [{"Name": "dc", "Type": "string"}, {"Name": "snapshot_date", "Type": "date"}],
                "Parameters": {"classification": "parquet"},
            },
        )
        options = {"s3_staging_dir": f"s3://{bucket}/results/", "work_group": "primary", "poll_interval": "0.05"}
        return f"awsathena+polars:///{database}?{urllib.parse.urlencode(options)}"

    def queries_of(self, database: str) -> list[str]:
        """What Athena was asked of a database."""
        athena = self.client("athena")
        ids = athena.list_query_executions()["QueryExecutionIds"]
        found = [athena.get_query_execution(QueryExecutionId=each)["QueryExecution"] for each in ids]
        return [each["Query"] for each in found if each["QueryExecutionContext"]["Database"] == database]


@contextmanager
def running(directory: Path) -> Iterator[Cloud]:
    """Start the emulator with its files in a directory; it ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "S3_PERSIST": "1",  # its Athena reads the files of its S3
        "S3_DATA_DIR": str(directory / "s3"),
        "TMPDIR": str(directory),
        "LOG_LEVEL": "ERROR",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, str(Path(__file__).with_name("cloud_server.py"))],
            env=inherited | settings,
            cwd=directory,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(process, port, directory / "log")
            yield Cloud(f"http://127.0.0.1:{port}")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until the emulator answers; it says why where it does not."""
    give_up = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/_ministack/health")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    msg = f"the AWS emulator did not start: {log.read_text()}"
    raise RuntimeError(msg)


@contextmanager
def answering(code: str, status: int) -> Iterator[str]:
    """An endpoint that answers every request with one AWS error, as each service words it; yields its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            error = f"<Error><Code>{code}</Code><Message>as told</Message></Error>"
            if "X-Amz-Target" in self.headers:
                reply = json.dumps({"__type": code, "message": "as told"})
            else:
                reply = f"<ErrorResponse>{error}</ErrorResponse>" if b"Action=" in body else error
            self.send_response(status)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.encode())

        do_GET = do_PUT = do_POST = do_HEAD = _answer  # noqa: N815 - the names http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
