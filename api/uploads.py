"""Receiving a file: raw, or as a field of a multipart form; spooled to disk as it comes.

Guarantees: no byte beyond the limit is kept; in memory is one piece; a file that is cut off
never becomes an Upload, so nothing of it can be written anywhere.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import BinaryIO, cast

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from api.bodies import BYTES_PER_SECOND
from api.errors import BadRequest, BodyTooLarge, ClientGone, RequestTimeout
from api.settings import ApiSettings

#: Tinybird's clients send every format as `csv`.
FIELDS = (b"csv", b"ndjson", b"parquet")
RAW_NAME = "upload"
_NAME_CHARACTERS = 255


class Upload:
    """A file as it was received; close it."""

    def __init__(self, directory: Path) -> None:
        """Begin empty. The file has no name: it is gone with the process, whatever happens."""
        self.file = cast(BinaryIO, tempfile.TemporaryFile(dir=directory))  # noqa: SIM115 - close
        self.name = RAW_NAME

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()


class _Form:
    """Takes the file out of a multipart form, piece by piece."""

    def __init__(self, upload: Upload, boundary: bytes) -> None:
        self._upload = upload
        self._header, self._value = b"", b""
        self._is_file = False
        self.files = 0
        self.is_whole = False
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_part_data": self._on_data,
            "on_end": self._on_end,
        }
        self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def write(self, piece: bytes) -> None:
        self._parser.write(piece)

    def _begin(self) -> None:
        self._header = self._value = b""
        self._is_file = False

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._is_file = options.get(b"name") in FIELDS
            if self._is_file:
                self.files += 1
                name = options.get(b"filename", b"").decode("utf-8", "replace")
                self._upload.name = PurePath(name).name[:_NAME_CHARACTERS] or RAW_NAME
        self._header = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._upload.file.write(data[start:end])

    def _on_end(self) -> None:
        self.is_whole = True


async def receive_upload(request: Request, upload: Upload, settings: ApiSettings) -> None:
    """Receive a request's file; it stands at its first byte then.

    Raises: BadRequest, BodyTooLarge, RequestTimeout, ClientGone.
    """
    limit, length = settings.max_upload_bytes, request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > limit:
        raise BodyTooLarge(f"the file is larger than {limit} bytes; nothing was written")
    form = _form_of(request, upload)
    write = upload.file.write if form is None else form.write
    begun_at, received, more = time.monotonic(), 0, True
    while more:
        due = begun_at + settings.body_timeout_seconds + received / BYTES_PER_SECOND
        patience = min(settings.body_timeout_seconds, due - time.monotonic())
        try:
            async with asyncio.timeout(max(0.0, patience)):
                message = await request.receive()
        except TimeoutError:
            raise RequestTimeout(
                f"the file did not come: {received} bytes received; nothing was written"
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        more = message.get("more_body", False)
        received += len(piece)
        if received > limit:
            raise BodyTooLarge(f"the file is larger than {limit} bytes; nothing was written")
        try:
            write(piece)
        except MultipartParseError as error:
            raise BadRequest(f"the body is no multipart form: {error}") from None
    if not received:
        raise BadRequest("the body is empty")
    if form is not None and not (form.is_whole and form.files == 1):
        raise BadRequest("the body is no whole multipart form with one file in the field csv")
    upload.file.seek(0)


def _form_of(request: Request, upload: Upload) -> _Form | None:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        return None
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise BadRequest("header Content-Type: a multipart form needs a boundary")
    return _Form(upload, boundary)
