"""The application of the CDK: `cdk deploy --app "python -m infrastructure.app"`.

Context (`-c name=value`): `code`, a directory with the package, what it needs (`pip install --target`) and the file
`bootstrap`; `targets`, the URLs of the systems that do effects, as JSON; `destroys_data`, for environments of tests.
"""

from __future__ import annotations

import json
from pathlib import Path

import aws_cdk as cdk

from infrastructure.fulfillment_stack import FulfillmentStack

app = cdk.App()
FulfillmentStack(
    app,
    app.node.try_get_context("name") or "fillrate-fulfillment",
    code=Path(app.node.try_get_context("code") or "build"),
    targets=json.loads(app.node.try_get_context("targets") or "{}"),
    destroys_data=app.node.try_get_context("destroys_data") == "true",
)
app.synth()
