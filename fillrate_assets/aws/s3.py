"""Documents in a bucket of S3, written once. The lake, which has tables, is in `storage`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fillrate_assets.aws import client

_EXISTS: Final = {"PreconditionFailed", "ConditionalRequestConflict"}


@dataclass(frozen=True)
class S3Documents:
    """The documents of a bucket."""

    bucket: str

    def put(self, name: str, content: str) -> None:
        """Store a document; one that is there stays as it is."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - a third of a second that only AWS users pay

        with client.translate_errors(f"bucket {self.bucket}"):
            try:
                client.get_client("s3").put_object(Bucket=self.bucket, Key=name, Body=content.encode(), IfNoneMatch="*")
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in _EXISTS:
                    raise
