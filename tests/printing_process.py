"""A process whose lines are kept as they come, standard error among them."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from typing import Any


class PrintingProcess:
    """Begun with the object; `lines` grows while it runs."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        """`options` are subprocess.Popen's."""
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def release(self) -> None:
        """Kill it, if it runs, and leave nothing behind."""
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
