"""The progress of stores that are being restored, which `/ready` shows from its own thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from contract.view import View


class _Way(NamedTuple):
    """Changelog offsets: where it began, where it is, and where it ends."""

    start: int
    at: int
    end: int


class Restoring:
    """The partitions of one view whose stores are being read from the changelog."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._ways: dict[int, _Way] = {}

    @contextmanager
    def of(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[None]:
        """Tell of these partitions, from where to where, until this ends."""
        for partition, start in starts.items():
            self._ways[partition] = _Way(start, start, ends[partition])
        try:
            yield
        finally:
            for partition in starts:
                self._ways.pop(partition, None)

    def reached(self, partition: int, offset: int) -> None:
        """Note the offset that is read next."""
        self._ways[partition] = self._ways[partition]._replace(at=offset)

    def lines(self) -> list[str]:
        """Say of each partition how far it is, in per cent; one at its end is left out."""
        ways = sorted(self._ways.copy().items())
        return [
            f"restoring {self._view.place(partition)}: "
            f"{100 * (way.at - way.start) // (way.end - way.start)} %"
            for partition, way in ways
            if way.at < way.end
        ]
