"""What a stream is asked for, and what its reader may see of that."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from api.auth.bounds import Bounds
from api.errors import BadRequest, Forbidden
from api.http.parameters import DIGITS, Parameters
from api.query.names import DeviceIds
from api.query.streams.watches import Devices, First, Fleet, Top, Watch

#: Rows that one stream keeps in an order: each tick looks through all of them.
MOST_FIRST = 1_000


class Watched(Parameters):
    """Which devices: all, some, or the first in an order of totals."""

    device_id: DeviceIds | SkipJsonSchema[None] = Field(
        None, description="Only these devices: given again for each, or separated by commas"
    )
    order_by: Literal["device_id", "total_energy_consumed", "-total_energy_consumed"] = Field(
        "device_id", description="By total: only the first devices of this order, see limit"
    )
    limit: Annotated[int, Field(ge=1, le=MOST_FIRST), DIGITS] | SkipJsonSchema[None] = Field(
        None, description="How many devices of an order by total, and with no other"
    )
    repeatable: ClassVar[frozenset[str]] = frozenset({"device_id"})

    def watch(self, bounds: Bounds | None) -> Watch:
        """Return what is watched, of that what the token may see. Raises: BadRequest, Forbidden."""
        names = self.device_id
        if bounds is not None:
            if bounds.locations is not None:
                raise Forbidden(
                    "the token is limited to places, and a stream has totals over all places"
                )
            narrowed, _ = bounds.narrow(names, None)
            names = None if narrowed is None else list(narrowed)
        keys = None if names is None else tuple(sorted(name.encode() for name in names))
        if self.order_by == "device_id":
            if self.limit is not None:
                raise BadRequest("parameter limit: only with order_by=-total_energy_consumed")
            return Fleet() if keys is None else Devices(keys)
        if self.limit is None:
            raise BadRequest(f"parameter limit: missing; an order by total needs 1 to {MOST_FIRST}")
        return Top(First(self.limit, self.order_by.startswith("-"), keys))
