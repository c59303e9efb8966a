"""A ChunkReader without Kafka; what chunks it gives is each test's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self


class ReaderDouble:
    """All partitions of its log begin at `first` and end at `end`."""

    first = 0
    end = 0

    def __init__(self) -> None:
        self.at: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def partitions(self) -> list[int]:
        return [0]

    async def beginning_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, self.first)

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, self.end)

    def assign(self, start_offsets: Mapping[int, int]) -> None:
        self.at = dict(start_offsets)

    async def position(self, partition: int) -> int:
        return self.at[partition]
