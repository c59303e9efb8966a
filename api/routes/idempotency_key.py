"""The header `Idempotency-Key`, as the document has it; who writes reads it by itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import Request

from api.ingest.idempotency_key import KEY_CHARACTERS, key_of


async def _idempotency_key(
    request: Request,
    described: Annotated[
        str | SkipJsonSchema[None],
        Header(
            alias="Idempotency-Key",
            description="The same key and body within a day count once and are answered alike",
            min_length=1,
            max_length=KEY_CHARACTERS,
        ),
    ] = None,
) -> str | None:
    return key_of(request.scope["headers"])


IDEMPOTENCY_KEY = Depends(_idempotency_key)
