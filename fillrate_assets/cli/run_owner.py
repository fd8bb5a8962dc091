"""The process that a run belongs to, as a tag of the run: an id alone is given to another process sooner or later."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_BOOT: Path = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class RunOwner:
    """A process of a machine; boot and start are "" where the system does not say them."""

    host: str
    boot: str
    process: int
    started: str

    @classmethod
    def of_process(cls, process: int) -> Self:
        """Return a process of this machine as it is now."""
        boot = _BOOT.read_text(encoding="ascii").strip() if _BOOT.exists() else ""
        return cls(platform.node(), boot, process, _find_start(process))

    @classmethod
    def parse(cls, tag: str) -> Self | None:
        """Parse the tag of a run; None if it names no process."""
        match tag.split():
            case [host, boot, process, started] if process.isdecimal():
                return cls(host, boot.strip("-"), int(process), started.strip("-"))
        return None

    @property
    def tag(self) -> str:
        """Return what a run's tag says of it."""
        return f"{self.host} {self.boot or '-'} {self.process} {self.started or '-'}"

    def is_dead(self) -> bool:
        """Return whether it has ended for sure; of another machine's process this one cannot say."""
        if self.host != platform.node():
            return False
        return self != RunOwner.of_process(self.process) or not _is_alive(self.process)


def _find_start(process: int) -> str:
    """Return when a process started, in ticks since the boot; "" if it has ended, or the system does not say."""
    try:
        # The name before it may hold blanks and parentheses.
        state, *fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    except OSError:
        return ""
    # One that has ended waits for its parent to look.
    return "" if state == "Z" else fields[18]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
