"""One moment of a view, for readers that let others run before they are done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from api.view.version_view import ViewVersionView


class ViewSnapshot:
    """One moment of a view, for readers that await; a context manager, to be left soon."""

    def __init__(self, view: ViewVersionView) -> None:
        """Hold the view as it is now."""
        self._view = view
        self._held = [(each.rows, each.rows.snapshot()) for each in view.partitions]
        self.keys = view.keys
        self.devices = view.devices
        self._had_exact_keys = view.has_exact_keys

    @property
    def has_exact_keys(self) -> bool:
        """Whether each of `keys` is visible: no device was added since, which is in `keys` too."""
        return self._had_exact_keys and len(self.keys) == self.devices

    def columns_of(self, keys: Sequence[bytes]) -> list[list[bytes | None]]:
        """Return the part-totals devices had: for each partition a list, None where it had none."""
        return [held.get_many(keys) for _, held in self._held]

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the view change again what this moment needed."""
        for rows, held in self._held:
            rows.release(held)
        self._held = []
