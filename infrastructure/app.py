"""The application of the CDK: `cdk deploy --app "python -m infrastructure.app"`.

Context (`-c name=value`): `code`, the directory that `make functions` builds; `targets`, the URLs of the systems that
do effects, as JSON; `replicas`, those of the DCs that have copies of the stock, and `replica_token`, what they are
sent, `secret://name#key`; `stock_table` and `stock_stream`, those of a table that was restored; `runtime`, another than
that of Lambda for Python; `destroys_data`, for tests.
"""

from __future__ import annotations

import json
from pathlib import Path

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from infrastructure.fulfillment_stack import FulfillmentStack
from infrastructure.function_code import RUNTIME
from infrastructure.stock_sync import StockOptions

app = cdk.App()
FulfillmentStack(
    app,
    app.node.try_get_context("name") or "fillrate-fulfillment",
    code=Path(app.node.try_get_context("code") or "build/functions"),
    targets=json.loads(app.node.try_get_context("targets") or "{}"),
    stock=StockOptions(
        json.loads(app.node.try_get_context("replicas") or "{}"),
        *(app.node.try_get_context(name) or "" for name in ("replica_token", "stock_table", "stock_stream")),
    ),
    runtime=app.node.try_get_context("runtime") or RUNTIME,
    destroys_data=app.node.try_get_context("destroys_data") == "true",
)
cdk.Validations.of(app).add_plugins(AwsSolutionsChecks())
app.synth()
