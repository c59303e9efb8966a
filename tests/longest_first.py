"""The order of a tier's tests: it ends with its last one, so that is better a short one."""

from collections.abc import Sequence
from pathlib import Path

import pytest


def begin_with(files: Sequence[str], directory: Path, items: list[pytest.Item]) -> None:
    """Put the tests of these files first, in this order; tests of other directories stay behind."""
    place = {directory / name: at for at, name in enumerate(files)}
    ours = [item for item in items if item.path.parent == directory]
    others = [item for item in items if item.path.parent != directory]
    items[:] = sorted(ours, key=lambda item: place.get(item.path, len(files))) + others
