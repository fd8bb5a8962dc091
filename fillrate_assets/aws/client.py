"""Clients of AWS services, made from the usual AWS chain, and the typed errors of their calls.

Credentials come from where every AWS tool takes them: environment, profile, instance role. So do the region
(AWS_REGION, AWS_DEFAULT_REGION or the profile) and, for other endpoints than Amazon's own, AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from fillrate_assets.core import extras
from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable

_THROTTLED: Final = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "TooManyUpdates",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "ProvisionedThroughputExceededException",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "SlowDown",
}
_TRANSIENT: Final = {"InternalError", "InternalServerError", "InternalServiceError", "RequestTimeout"}
_SERVER_ERROR: Final = 500


def get_region() -> str | None:
    """Return AWS_REGION, which boto3 alone of all SDKs does not know; None leaves it to boto3."""
    return os.environ.get("AWS_REGION")


def get_client(service: str, *, attempts: int | None = None) -> Any:  # noqa: ANN401 - boto3 makes its clients while it runs
    """Return a client of a service, one per process; nothing is connected yet.

    Args:
        service: its name in boto3.
        attempts: how often it tries; None as AWS_MAX_ATTEMPTS says.

    Raises:
        PermanentFailure: no region is set, the profile does not exist, or boto3 is not installed.

    """
    environment = tuple((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    return _make_client(service, attempts, environment)


@lru_cache(maxsize=32)
def _make_client(service: str, attempts: int | None, _environment: tuple[tuple[str, str], ...]) -> Any:  # noqa: ANN401 - as above
    """Make one client for as long as the environment stays: to make one takes a quarter of a second."""
    extras.require("aws", f"Amazon's {service}")
    import boto3  # noqa: PLC0415 - a third of a second that only AWS users pay
    from botocore.config import Config  # noqa: PLC0415 - as above

    # Ten seconds an attempt, three attempts (AWS_MAX_ATTEMPTS): a sensor's tick of 60 seconds outlives a call.
    bound = {} if attempts is None else {"total_max_attempts": attempts}
    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", **bound})
    with translate_errors(service):
        session = boto3.session.Session(region_name=get_region())
        return session.client(service, config=config)


@contextmanager
def translate_errors(system: str) -> Iterator[None]:
    """Turn botocore's errors into ours; `system` is its name in messages."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise classify_error(system, error) from error


def classify_error(system: str, error: Exception) -> FillrateError:
    """Classify an error of botocore: throttling, lost connections and AWS's own faults may pass, the rest not."""
    from botocore import exceptions  # noqa: PLC0415 - as above

    permanent = (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.NoRegionError,
        exceptions.ProfileNotFound,
        exceptions.ParamValidationError,
        exceptions.ConfigParseError,
        exceptions.InvalidRegionError,
        exceptions.UnknownServiceError,
    )
    if isinstance(error, permanent):
        return PermanentFailure(
            f"{system} cannot be used: {error}; set AWS credentials and region (environment, profile or role)"
        )
    if isinstance(error, exceptions.ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code not in _THROTTLED | _TRANSIENT and status < _SERVER_ERROR:
            return PermanentFailure(f"{system} refused: {error}")
    return SourceUnavailable(f"{system} does not answer: {error}")
