"""The totals of one view version, in memory: fed by a follower, read by the handlers."""

from __future__ import annotations

import asyncio
from itertools import islice

from api.view.device_totals import Total, total_of
from api.view.followed_view import FollowedView, PartitionView
from api.view.layered_map import SMALL, Layer
from api.view.reserved_keys import reserved_keys
from api.view.sorted_keys import SortedKeys
from api.view.top_n import Orders
from contract.changelog import Marker
from contract.device_totals import DEVICE_TOTALS


class ViewVersionView(FollowedView):
    """The view device_totals, with its devices in order and its leaders."""

    def __init__(self, view_version: int, partitions: int) -> None:
        """Begin empty, with a changelog partition for each source partition."""
        super().__init__(DEVICE_TOTALS, view_version, partitions)
        self.keys = SortedKeys()
        self.orders = Orders()
        self.devices = 0

    def total(self, device_id: str) -> Total | None:
        """Return the total of a device, None if it is unknown."""
        key = device_id.encode()
        parts = self.parts_of(key)
        return total_of(key, parts) if parts else None

    @property
    def has_exact_keys(self) -> bool:
        """Whether `keys` has no device of a transaction that is not visible yet."""
        return len(self.keys) == self.devices

    async def _show(self, number: int, held: Layer, marker: Marker) -> None:
        partition = self.partitions[number]
        new = await self._index(partition, held)
        moves = await self.orders.prepare(self, number, held)
        # From here to the end nothing awaits: this is the one step.
        partition.show(held, marker)
        self.orders.show(self, held, moves)
        self.devices += new

    async def _index(self, partition: PartitionView, held: Layer) -> int:
        """Put the devices that are new to the view in order; returns how many they are.

        Done before they are visible: readers pass over keys that have no part yet. Keys of a
        later build, whose value looks like a total, are taken out of `held`.
        """
        others = [each.rows for each in self.partitions if each is not partition]
        keys = iter(held)
        new = 0
        passed_over: list[bytes] = []
        while some := list(islice(keys, SMALL // 2)):
            unknown = partition.rows.without(some)
            for rows in others:
                unknown = rows.without(unknown)
            if unknown:
                if reserved := reserved_keys(unknown):
                    passed_over += reserved
                    unknown = [key for key in unknown if key not in reserved]
                unknown.sort()
                self.keys.add(unknown)
                new += len(unknown)
            if len(held) > SMALL // 2:
                await asyncio.sleep(0)
        for key in passed_over:
            del held[key]
        return new
