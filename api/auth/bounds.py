"""What a token is bound to: some devices, some locations, or both. All other rows do not exist.

One object for all ways in and out: whoever writes asks `faults`, whoever reads asks `allows_device`
or `narrow`, and what is kept for later requests is distinguished by `tag`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from contract.errors import Fault
from contract.quarantine import NOT_PERMITTED

#: Devices, and locations, of one token: as many as a listing reads without a pause.
MOST = 1_000


@dataclass(frozen=True)
class Bounds:
    """Only these devices, only at these locations; None: all of them."""

    devices: frozenset[str] | None = None
    locations: frozenset[str] | None = None

    def allows_device(self, device_id: str) -> bool:
        """Whether any row of this device can be the token's; a location may still exclude it."""
        return self.devices is None or device_id in self.devices

    def faults(self, device_id: str | None, location: str | None) -> tuple[Fault, ...]:
        """Return why a row is not the token's; None: the row does not say it, which is no fault."""
        found = []
        if device_id is not None and not self.allows_device(device_id):
            found.append(Fault("device_id", NOT_PERMITTED["device_id"]))
        if location is not None and self.locations is not None and location not in self.locations:
            found.append(Fault("location", NOT_PERMITTED["location"]))
        return tuple(found)

    def narrow(
        self, devices: Collection[str] | None, locations: Collection[str] | None
    ) -> tuple[Collection[str] | None, Collection[str] | None]:
        """Return what is left of a filter, in its order; None: all, empty: nothing."""
        return _both(devices, self.devices), _both(locations, self.locations)

    @cached_property
    def tag(self) -> str:
        """The same text in every process for the same bounds, another one for others."""
        said = repr(
            [None if some is None else sorted(some) for some in (self.devices, self.locations)]
        )
        return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()


def _both(asked: Collection[str] | None, own: frozenset[str] | None) -> Collection[str] | None:
    if own is None:
        return asked
    if asked is None:
        return tuple(sorted(own))
    return tuple(each for each in asked if each in own)
