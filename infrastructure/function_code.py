"""The code of the functions of Lambda, as a directory: `python -m infrastructure.function_code build/functions`.

The package and what `functions.txt` pins, for the runtime of the stack, by pip alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

RUNTIME: Final = "python3.11"
"""Which the tests run on as well."""

_HERE: Final = Path(__file__).parent
_PLATFORM: Final = "manylinux2014_x86_64"


def build_code(directory: Path) -> None:
    """Build the code into a directory; what was there is replaced."""
    for old in (directory, _HERE.parent / "build" / "lib"):  # where setuptools leaves modules that are gone
        shutil.rmtree(old, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(directory)]
    version = RUNTIME.removeprefix("python")
    wheels = ["--platform", _PLATFORM, "--python-version", version, "--only-binary", ":all:", "--no-compile"]
    pins = ["--require-hashes", "--requirement", str(_HERE / "functions.txt")]
    subprocess.run([*pip, *wheels, *pins], check=True)  # noqa: S603 - our own command
    own = ["--no-build-isolation", "--no-compile", "--upgrade", str(_HERE.parent)]
    subprocess.run([*pip, *own], check=True)  # noqa: S603 - as above


if __name__ == "__main__":
    build_code(Path(sys.argv[1]))
