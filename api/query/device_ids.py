"""A device_id in a request: what it must be, and what OpenAPI says of that."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from contract.validation import device_id_fault

#: Bytes cannot be said in a schema: at most 256 of UTF-8, which 64 characters never exceed.
_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": 256,
    "pattern": r"^[^\u0000-\u001F\u007F-\u009F]+$",
    "description": "1 to 256 bytes of UTF-8 without control characters",
}
#: In a list they are separated by commas; one with a comma is at `/v0/devices/`.
_LISTED = {**_SCHEMA, "pattern": r"^[^\u0000-\u001F\u007F-\u009F,]+$"}


def _checked(device_id: str) -> str:
    if fault := device_id_fault(device_id):
        raise ValueError(fault)
    return device_id


DeviceId = Annotated[str, WithJsonSchema({**_SCHEMA, "examples": ["device_7"]})]
ListedId = Annotated[str, AfterValidator(_checked), WithJsonSchema(_LISTED)]
