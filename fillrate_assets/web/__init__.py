"""The web pages through which the floor answers alerts, over the signed links of `buffers.links`.

`forms` and `pages` know no HTTP, `guard` keeps others out, `web` serves, `stores` says what it needs to be kept.
"""

from fillrate_assets.web.app import app
from fillrate_assets.web.server import serve, signer_of

__all__ = ["app", "serve", "signer_of"]
