"""Receiving a file: raw, or as a field of a multipart form; spooled to disk as it comes.

Guarantees: no byte beyond the limit is kept, nor beyond the token's share of the disk; a file that
is cut off never becomes an Upload, so nothing of it can be written anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import BinaryIO, cast

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from api.errors import BadRequest, BodyTooLarge, Busy, NotWritten
from api.http.allowance import Budget
from api.http.receiving import pieces_of
from api.http.spool import Spool, made, unusable
from api.settings import ApiSettings
from producer.files.content import write_out

#: Tinybird's clients send every format as `csv`.
FIELDS = (b"csv", b"ndjson", b"parquet")
RAW_NAME = "upload"
_NAME_CHARACTERS = 255
#: A longer Content-Type is nobody's; 64 KiB of semicolons take the parser 50 ms.
_TYPE_CHARACTERS = 1024


class Upload(Spool):
    """A file as it was received."""

    #: All of it, once it was received.
    file: BinaryIO

    def __init__(self, budget: Budget, token_name: str, directory: Path) -> None:
        """Begin empty; its bytes count for the token."""
        super().__init__(budget, token_name, directory)
        self._loop = asyncio.get_running_loop()
        self.name = RAW_NAME

    def copy(self, pieces: Iterator[bytes]) -> BinaryIO:
        """Make a file of what is inside this one, within the same bounds; in another thread.

        Raises: Busy, BodyTooLarge, SpoolUnusable; what `pieces` raise.
        """
        try:
            file = made(self._directory)
            write_out(file, map(self._taken_for, pieces))
        except OSError as error:
            raise unusable(self._directory, error) from None
        return cast(BinaryIO, file)

    def _taken_for(self, piece: bytes) -> bytes:
        asyncio.run_coroutine_threadsafe(self._take(len(piece)), self._loop).result()
        return piece

    async def _take(self, size: int) -> None:
        if self.is_closed:
            raise Busy("the request has ended")
        if self._taken + size > self._budget.most:
            raise BodyTooLarge(
                f"the file and its inflated content take more than {self._budget.most} bytes of"
                " disk; nothing was written, send it in parts"
            )
        self.take(size)


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
            self._upload.add(data[start:end])

    def _on_end(self) -> None:
        self.is_whole = True


async def receive_upload(
    request: Request, upload: Upload, settings: ApiSettings, should_stop: Callable[[], bool]
) -> None:
    """Receive a request's file.

    Raises: BadRequest, BodyTooLarge, Busy, SpoolUnusable, RequestTimeout, ClientGone; NotWritten
    as soon as the server stops.
    """
    form = _form_of(request, upload)
    write = upload.add if form is None else form.write
    received = 0
    async for piece in pieces_of(
        request.receive,
        request.scope["headers"],
        settings.max_upload_bytes,
        settings.body_timeout_seconds,
        "file",
        settings.upload_timeout_seconds,
    ):
        if should_stop():
            raise NotWritten("the server is stopping; nothing was written, try again")
        received += len(piece)
        try:
            write(piece)
        except MultipartParseError as error:
            raise BadRequest(f"the body is not a multipart form: {error}") from None
        await upload.write_due()
    if not received:
        raise BadRequest("the body is empty")
    if form is not None and not (form.is_whole and form.files == 1):
        raise BadRequest("the body is not a complete multipart form with one file in the field csv")
    upload.file = await upload.opened()


def _form_of(request: Request, upload: Upload) -> _Form | None:
    content_type = request.headers.get("content-type", "")
    if len(content_type) > _TYPE_CHARACTERS:
        raise BadRequest(f"header Content-Type: longer than {_TYPE_CHARACTERS} characters")
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return None
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise BadRequest("header Content-Type: a multipart form needs a boundary")
    return _Form(upload, boundary)
