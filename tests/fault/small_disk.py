"""A small disk of one's own, to be filled: memory, mounted where a test wants it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    """Mount it on a new directory; gone at the end whatever happened."""
    directory.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", directory)
    try:
        yield directory
    finally:
        # Lazily: a process of a test that failed may still have files open.
        _run("umount", "--lazy", directory)


def enlarge(disk: Path, megabytes: int) -> None:
    """Make room, as an operator would."""
    _run("mount", "-o", f"remount,size={megabytes}m", disk)


def may_mount() -> bool:
    """Tell whether this process is allowed to: not every root of a container is."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            with small_disk(Path(directory, "disk"), 1):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)
