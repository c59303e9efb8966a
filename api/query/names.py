"""Device ids and locations in a request: what they must be, and what OpenAPI says about that.

Several are given again for each, or separated by commas. A value with a comma stands for itself
as a whole and for its parts, because names may have commas; what nobody has has no rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from api.errors import BadRequest, NotFound
from api.http.parameters import unescape
from contract.errors import echo
from contract.validation import device_id_fault, location_fault

#: Bytes cannot be said in a schema: at most 256 of UTF-8, which 64 characters never exceed.
_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": 256,
    "pattern": r"^[^\u0000-\u001F\u007F-\u009F]+$",
    "description": "1 to 256 bytes of UTF-8 without control characters",
}
#: One with a comma is not promised to be one id: its parts must be ids, too.
_LISTED = {**_SCHEMA, "pattern": r"^[^\u0000-\u001F\u007F-\u009F,]+$"}
_LOCATION = {
    "type": "string",
    "maxLength": 256,
    "description": "0 to 256 bytes of UTF-8; the empty one is a location",
}

Fault = Callable[[str], str | None]


def _checked_by(fault_of: Fault) -> AfterValidator:
    def check(name: str) -> str:
        if fault := fault_of(name):
            raise ValueError(fault)
        return name

    return AfterValidator(check)


def _apart_by(fault_of: Fault) -> BeforeValidator:
    def apart(values: Any) -> Any:
        """Return each value as a whole, where it can be a name, and its parts; each once."""
        names: dict[str, None] = {}
        for value in values:
            parts = value.split(",")
            if len(parts) > 1 and fault_of(value) is None:
                names[value] = None
                # Of a name such as `a,,b` not each part can be one.
                parts = [part for part in parts if fault_of(part) is None]
            names.update(dict.fromkeys(parts))
        return list(names)

    return BeforeValidator(apart)


DeviceId = Annotated[str, WithJsonSchema({**_SCHEMA, "examples": ["device_7"]})]
_ListedId = Annotated[str, _checked_by(device_id_fault), WithJsonSchema(_LISTED)]
_Location = Annotated[str, _checked_by(location_fault), WithJsonSchema(_LOCATION)]

DeviceIds = Annotated[list[_ListedId], Field(min_length=1), _apart_by(device_id_fault)]
Locations = Annotated[list[_Location], Field(min_length=1), _apart_by(location_fault)]

_DEVICE_PATH = b"/v0/devices/"


def device_id_in_path(raw_path: bytes) -> str:
    """Return the device_id of `/v0/devices/{device_id}`. Raises: NotFound, BadRequest.

    The path is taken as it was sent and decoded once: `a%2Fb` is the device `a/b`, and no other
    spelling of a path reaches a device.
    """
    segment = raw_path.removeprefix(_DEVICE_PATH)
    if len(segment) == len(raw_path) or b"/" in segment or not segment:
        raise NotFound("no such path; a device is at /v0/devices/DEVICE_ID, percent-encoded")
    written = segment.decode("latin-1")
    device_id = unescape(segment, "device_id", written, plus_is_space=False)
    if fault := device_id_fault(device_id):
        raise BadRequest(f"device_id {echo(device_id)}: {fault}")
    return device_id
