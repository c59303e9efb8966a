"""A mapping whose snapshots cost nothing: layers of dicts, the newest first.

A change of any size becomes visible in one step, by laying it on top. Layers that no snapshot
tells apart are merged afterwards, in slices, without any reader seeing it. Not thread-safe:
all of it runs in one event loop, and only `merge` is spread over its turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

#: Entries that may be copied in one go: 1 to 2 ms.
SMALL = 10_000

Layer = dict[bytes, bytes]


def _get_many(layers: tuple[Layer, ...], keys: Sequence[bytes]) -> list[bytes | None]:
    """Return the value of each key, or None; in C, whatever the number of layers."""
    values: list[bytes | None] = list(map(layers[-1].get, keys))
    for layer in layers[-2::-1]:
        values = list(map(layer.get, keys, values))
    return values


class Snapshot:
    """The mapping as it was; give it back with `LayeredMap.release`."""

    __slots__ = ("_layers",)

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        """Keep the layers there are; the newest, `top`, does not change while it is pinned."""
        self._layers = layers

    @property
    def top(self) -> Layer:
        """The newest layer that belongs to this snapshot."""
        return self._layers[0]

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key as it was, or None."""
        return _get_many(self._layers, keys)


class LayeredMap:
    """Part-totals of one source partition, by device."""

    __slots__ = ("_layers", "_pins")

    def __init__(self) -> None:
        """Begin empty."""
        self._layers: tuple[Layer, ...] = ({},)
        #: id of a layer -> how many rely on it as it is.
        self._pins: dict[int, int] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        for layer in self._layers:
            value = layer.get(key)
            if value is not None:
                return value
        return None

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key, or None."""
        return _get_many(self._layers, keys)

    def without(self, keys: list[bytes]) -> list[bytes]:
        """Return those of the keys that are not here, in their order."""
        for layer in self._layers:
            keys = [key for key in keys if key not in layer]
        return keys

    def apply(self, change: Layer) -> None:
        """Make all entries of a change visible at once; takes the dict over."""
        top = self._layers[0]
        if id(top) in self._pins:
            self._layers = (change, *self._layers)
        elif not top:
            self._layers = (change, *self._layers[1:])
        elif len(change) <= SMALL:
            top.update(change)
        else:
            self._layers = (change, *self._layers)

    def snapshot(self) -> Snapshot:
        """Return the mapping as it is now; later changes do not touch it."""
        self._pin(self._layers[0])
        return Snapshot(self._layers)

    def release(self, snapshot: Snapshot) -> None:
        """Give a snapshot back, once."""
        self._unpin(snapshot.top)

    @property
    def depth(self) -> int:
        """How many layers a look-up may have to ask."""
        return len(self._layers)

    def merge(self) -> Iterator[None]:
        """Pour one layer into the one below it; yields after each slice.

        Only where nobody has pinned either. The upper one is pinned meanwhile, so that changes
        go on top of it, and stays in front until all of it is below: no look-up ever changes.
        The lower one cannot be pinned meanwhile: snapshots pin the newest.
        """
        for place in range(len(self._layers) - 1, 0, -1):
            upper, lower = self._layers[place - 1], self._layers[place]
            if id(upper) in self._pins or id(lower) in self._pins:
                continue
            self._pin(upper)
            entries = iter(upper.items())
            while some := dict(islice(entries, SMALL)):
                lower.update(some)
                yield
            self._unpin(upper)
            if id(upper) not in self._pins:
                # Else a snapshot relies on it by now; a later merge does it again.
                self._layers = tuple(layer for layer in self._layers if layer is not upper)
            return

    def _pin(self, layer: Layer) -> None:
        self._pins[id(layer)] = self._pins.get(id(layer), 0) + 1

    def _unpin(self, layer: Layer) -> None:
        left = self._pins[id(layer)] - 1
        if left:
            self._pins[id(layer)] = left
        else:
            del self._pins[id(layer)]
