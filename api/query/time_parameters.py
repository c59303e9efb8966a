"""The parameters of place and time that pipes have in common: period, zone, devices, locations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Self

from pydantic import Field, PrivateAttr, model_validator
from pydantic.json_schema import SkipJsonSchema

from api.auth.bounds import Bounds
from api.errors import BadRequest
from api.http.parameters import Parameters, WholeNumber
from api.query.names import DeviceIds, Locations
from api.query.period import BadInstant, Instant, parse_instant
from api.query.time_buckets import QUARTER_SECONDS
from api.query.time_zones import UnknownZone, parse_zone
from api.view.series import Filter, Period

#: Behind every quarter that a reading can be in.
_END = int(datetime(2106, 1, 1, tzinfo=UTC).timestamp()) // QUARTER_SECONDS
_TIMES = ("start", "end", "timezone")
_MOMENT = (
    "a date, or a date and time as a reading has it, in `timezone` where it has no offset:"
    " `2025-04-30`, `2025-04-30T10:15:00`, `2025-04-30T10:15:00+02:00`"
)


class TimeParameters(Parameters):
    """Which readings: of which devices, where and when."""

    start: str | SkipJsonSchema[None] = Field(None, description=f"From here on: {_MOMENT}")
    end: str | SkipJsonSchema[None] = Field(None, description=f"Before this: {_MOMENT}")
    timezone: str = Field(
        "UTC",
        description="An IANA name such as Europe/Berlin, or an offset such as +05:30",
        examples=["Europe/Berlin"],
    )
    device_id: DeviceIds | SkipJsonSchema[None] = Field(
        None, description="Only these devices: given again for each, or separated by commas"
    )
    location: Locations | SkipJsonSchema[None] = Field(
        None, description="Only at these locations: given again for each, or separated by commas"
    )
    limit: WholeNumber | SkipJsonSchema[None] = Field(
        None, description="At most so many rows; all if not given"
    )
    offset: WholeNumber = Field(0, description="Without the first so many rows")
    repeatable: ClassVar[frozenset[str]] = frozenset({"device_id", "location"})

    _from: Instant | None = PrivateAttr(None)
    _to: Instant | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _read_moments(self) -> Self:
        if self.model_fields_set.isdisjoint(_TIMES):
            # As most listings of totals are: no time is lost on it.
            return self
        try:
            zone = parse_zone(self.timezone)
        except UnknownZone as error:
            raise BadRequest(f"parameter timezone: {error}") from None
        for name in ("start", "end"):
            text = getattr(self, name)
            if text is not None:
                try:
                    parsed = parse_instant(text, zone)
                except BadInstant as error:
                    raise BadRequest(f"parameter {name}: {error}") from None
                setattr(self, {"start": "_from", "end": "_to"}[name], parsed)
        if self._from and self._to and not self._from.is_before(self._to):
            raise BadRequest("parameter start: must be before end; the period is [start, end)")
        return self

    @property
    def first_quarter(self) -> int | None:
        """The quarter since 1970 that `start` is in, None where none is given."""
        return None if self._from is None else self._from.rounded_down()

    @property
    def end_quarter(self) -> int | None:
        """The first quarter since 1970 at `end` or behind it, None where none is given."""
        return None if self._to is None else self._to.rounded_up()

    @property
    def period(self) -> Period | None:
        """The quarters from `start` to `end`, None where neither is given: all there is."""
        if self._from is None and self._to is None:
            return None
        end = self.end_quarter
        return Period(self.first_quarter or 0, _END if end is None else end)

    def only(self, bounds: Bounds | None) -> Filter:
        """Return the devices and locations asked for, as far as the token reaches."""
        devices, locations = (
            None if names is None else tuple(names) for names in (self.device_id, self.location)
        )
        return (
            Filter(devices, locations)
            if bounds is None
            else Filter(*bounds.narrow(devices, locations))
        )
