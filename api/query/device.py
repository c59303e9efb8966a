"""The device of `/v0/devices/{device_id}`.

The id is taken from the path as it was sent, decoded once and strictly: `a%2Fb` is the device
`a/b`, and no other spelling of a path reaches a device.
"""

from __future__ import annotations

from api.errors import BadRequest, NotFound
from api.http.parameters import unescape
from contract.errors import echo
from contract.validation import device_id_fault

PREFIX = b"/v0/devices/"


def device_id_of(raw_path: bytes) -> str:
    """Return the device_id of a path as it was sent. Raises: NotFound, BadRequest."""
    segment = raw_path.removeprefix(PREFIX)
    if len(segment) == len(raw_path) or b"/" in segment or not segment:
        raise NotFound("no such path; a device is at /v0/devices/DEVICE_ID, percent-encoded")
    written = segment.decode("latin-1")
    device_id = unescape(segment, "device_id", written, plus_is_space=False)
    if fault := device_id_fault(device_id):
        raise BadRequest(f"device_id {echo(device_id)}: {fault}")
    return device_id
