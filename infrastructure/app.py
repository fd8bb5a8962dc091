"""The application of the CDK: `make deploy ENV=dev`, or `cdk deploy --app "python -m infrastructure.app" -c ...`.

Context (`-c name=value`, or `cdk.context.json`), what is not text as JSON:

- `environment`: `dev` or `prod`; both may be in one account. `stacks`: by default both, `platform` and
  `fulfillment`.
- Of the platform: `host`, `certificate`, `networks` and `sign_in`, as in `platform_stack.Access`; `settings`, more
  variables of `.env.example`; `secrets`, the names of those that they refer to; `image`, an address in ECR; `region`,
  another than that of the CLI.
- Of fulfillment: `code`, the directory that `make functions` builds; `targets`, the URLs of the systems that do
  effects; `replicas`, those of the DCs that have copies of the stock, and `replica_token`, what they are sent,
  `secret://name#key`; `stock_table` and `stock_stream`, those of a table that was restored; `runtime`, another than
  that of Lambda for Python.
- For tests: `name`, another name of the stack of fulfillment; `destroys_data`, whether data go with it in any case.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from infrastructure.environments import ENVIRONMENTS
from infrastructure.fulfillment_stack import FulfillmentStack
from infrastructure.function_code import RUNTIME
from infrastructure.platform_stack import Access, PlatformStack
from infrastructure.stock_sync import StockOptions

_NO_CERTIFICATE: Final = "arn:aws:acm:eu-central-1:000000000000:certificate/set-the-context-certificate"


def _find(name: str, default: Any) -> Any:
    """Find a value of the context; the CLI gives text, a file what JSON has."""
    value = app.node.try_get_context(name)
    if value is None:
        return default
    return json.loads(value) if isinstance(value, str) and not isinstance(default, str) else value


app = cdk.App()
environment = ENVIRONMENTS[_find("environment", "dev")]
stacks = _find("stacks", ["platform", "fulfillment"])
if "platform" in stacks:
    access = Access(
        _find("certificate", _NO_CERTIFICATE),
        _find("host", f"fillrate-{environment.name}.example"),
        _find("networks", ["10.0.0.0/8"]),
        _find("sign_in", {}),
    )
    region = _find("region", os.environ.get("CDK_DEFAULT_REGION", "eu-central-1"))
    chosen = {"settings": _find("settings", {}), "secrets": _find("secrets", []), "image": _find("image", "")}
    PlatformStack(app, environment, access=access, region=region, **chosen)
if "fulfillment" in stacks:
    FulfillmentStack(
        app,
        _find("name", environment.name_stack("fulfillment")),
        code=Path(_find("code", "build/functions")),
        targets=_find("targets", {}),
        stock=StockOptions(
            _find("replicas", {}), *(_find(name, "") for name in ("replica_token", "stock_table", "stock_stream"))
        ),
        runtime=_find("runtime", RUNTIME),
        destroys_data=_find("destroys_data", not environment.keeps_data),
    )
cdk.Validations.of(app).add_plugins(AwsSolutionsChecks())
app.synth()
