"""Optional dependencies: which packages an extra brings, and the failure that names one that is not installed.

A driver is imported where it is used and nowhere else, so that the embedded default runs without any of these.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, Literal

from fillrate_assets.core.errors import PermanentFailure

Extra = Literal[
    "oracle",
    "sqlserver",
    "athena",
    "redshift",
    "postgres",
    "aws",
    "web",
    "fulfillment",
    "fulfillment-aws",
    "telemetry",
    "infrastructure",
    "sample",
    "excel",
    "celery",
    "kubernetes",
]

PACKAGES: Final[dict[Extra, tuple[str, ...]]] = {
    "oracle": ("oracledb",),
    "sqlserver": ("pymssql",),
    "athena": ("pyathena",),
    "redshift": ("sqlalchemy_redshift", "psycopg2"),
    "postgres": ("psycopg",),
    "aws": ("boto3",),
    "web": ("authlib", "httpx2", "starlette", "uvicorn", "itsdangerous"),
    "fulfillment": ("dbos",),
    "fulfillment-aws": ("aws_lambda_powertools", "boto3"),
    "telemetry": ("opentelemetry",),
    "infrastructure": ("aws_cdk",),
    "sample": ("numpy", "simpy"),
    "excel": ("openpyxl",),
    "celery": ("dagster_celery", "redis"),
    "kubernetes": ("dagster_k8s",),
}
"""The modules that show whether an extra is installed."""

_DIALECT_EXTRAS: Final[dict[str, Extra]] = {
    "oracle": "oracle",
    "mssql": "sqlserver",
    "awsathena": "athena",
    "redshift": "redshift",
    "postgresql": "postgres",
}
_AWS: Final[list[Extra]] = ["aws"]
_AWS_SCHEMES: Final = {"s3", "ssm"}
_REFERENCE: Final = "secret://"
_ARN: Final = "arn:aws"


def find_extras(location: str) -> list[Extra]:
    """Return the extras that a URL, ARN or reference to a secret needs; none for files and embedded databases."""
    scheme, separator, _ = location.partition("://")
    dialect = _DIALECT_EXTRAS.get(scheme.partition("+")[0]) if separator else None
    of_aws = scheme in _AWS_SCHEMES or _REFERENCE in location or location.removeprefix("sns:").startswith(_ARN)
    return [*([dialect] if dialect else []), *(_AWS if of_aws else [])]


def require(extra: Extra, needed_by: str) -> None:
    """Raise PermanentFailure if an extra is not installed.

    Args:
        extra: its name in pyproject.toml.
        needed_by: the setting or the command that needs it, as the message names it.

    """
    missing = [package for package in PACKAGES[extra] if find_spec(package) is None]
    if missing:
        msg = (
            f"{needed_by} needs {' and '.join(missing)}, which is not installed: pip install 'fillrate-assets[{extra}]'"
        )
        raise PermanentFailure(msg)
