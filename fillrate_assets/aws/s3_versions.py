"""Versions of the objects in a bucket of S3: all below a prefix, put back as they were at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final, NamedTuple

from fillrate_assets.aws import client
from fillrate_assets.core.errors import PermanentFailure

_AT_ONCE: Final = 10
"""Requests at a time; boto3 pools as many connections."""


class Restored(NamedTuple):
    """How many objects a restore changed."""

    put_back: int
    """Whose earlier version is the latest again."""

    removed: int
    """That were not there yet; their versions stay."""

    untouched: int


@dataclass(frozen=True)
class _Version:
    key: str
    version_id: str
    at: datetime
    is_latest: bool
    etag: str | None
    """Of its content; None of a deletion."""


def restore_objects(bucket: str, prefix: str, moment: datetime) -> Restored:
    """Put every object below a prefix back as it was at a moment, by new versions: nothing is lost of what is there.

    Args:
        bucket: which keeps versions.
        prefix: of the keys; empty for all.
        moment: with a zone. S3 knows the second of a version, so one of the moment's own second is taken.

    Raises:
        SourceUnavailable: S3 did not answer; what was put back stays, and the rest can be tried again.
        PermanentFailure: S3 denied access, or the bucket keeps no versions.

    """
    s3 = client.get_client("s3")
    with client.translate_errors(f"bucket {bucket}"), ThreadPoolExecutor(_AT_ONCE) as threads:
        if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
            msg = f"bucket {bucket} keeps no versions: of what was replaced there, nothing can be put back"
            raise PermanentFailure(msg)
        changes = list(
            threads.map(lambda found: _restore(s3, bucket, found, moment), _list_objects(s3, bucket, prefix))
        )
    return Restored(changes.count("put back"), changes.count("removed"), changes.count(None))


def _list_objects(s3: Any, bucket: str, prefix: str) -> Iterator[list[_Version]]:  # noqa: ANN401 - boto3's own
    """List the versions of each object; S3 lists them by key."""

    def list_versions() -> Iterator[_Version]:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            found = [
                _Version(each["Key"], each["VersionId"], each["LastModified"], each["IsLatest"], each.get("ETag"))
                for kind in ("Versions", "DeleteMarkers")
                for each in page.get(kind, ())
            ]
            yield from sorted(found, key=lambda each: each.key)

    for _, versions in groupby(list_versions(), lambda each: each.key):
        yield list(versions)


def _restore(s3: Any, bucket: str, versions: list[_Version], moment: datetime) -> str | None:  # noqa: ANN401 - as above
    latest = next((each for each in versions if each.is_latest), None)
    # Of two in one second the latest is the later one; of others of one second S3 lists the newest first.
    before = [each for each in versions if each.at.replace(microsecond=0) <= moment]
    wanted = max(before, key=lambda each: (each.at, each.is_latest), default=None)
    there, then = (each.etag if each else None for each in (latest, wanted))
    if there == then:
        return None
    if wanted is None or then is None:
        s3.delete_object(Bucket=bucket, Key=versions[0].key)
        return "removed"
    source = {"Bucket": bucket, "Key": wanted.key, "VersionId": wanted.version_id}
    s3.copy_object(Bucket=bucket, Key=wanted.key, CopySource=source)
    return "put back"
