"""What a route does, in OpenAPI's terms: stands beside its handler.

From it come the document at `/v0/pipes/openapi.json` and the test of every route with every
scope. A route cannot be made without it. What any request can run into (a bad head, a token
without the scope, 503) is added by the document and not repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.auth.token_store import SCOPES

Json = Mapping[str, Any]

#: A token is needed, whatever its scopes.
ANY_TOKEN = frozenset(SCOPES)
NO_TOKEN: frozenset[str] = frozenset()

JSON = "application/json"
ERROR: Json = {"$ref": "#/components/schemas/Error"}

MEANINGS = {
    304: "Nothing has changed since the answer whose ETag was sent",
    400: "The request cannot be understood; the text names what and where",
    403: "No valid token, or one without the scope",
    404: "There is nothing under this name",
    408: "The body did not come in time; nothing was written",
    413: "The body is over the limit; nothing was written",
    414: "The path or the query is over the limit",
    422: "The key was used with another body",
    429: "More requests than the token may make",
    431: "The headers are over the limit",
    503: "Not now; try again after the seconds in Retry-After",
    504: "Some rows are in the log or may be; sending them again counts those twice",
}


@dataclass(frozen=True)
class Operation:
    """What one method of a route does.

    `scopes`: a token needs one of them; none: no token is needed. `answers`: response objects
    by status, without the errors of every request. `parameters`: parameter objects, each
    required one with an example. `body`: a media type with its schema and an example.
    """

    summary: str
    scopes: frozenset[str]
    answers: Mapping[int, Json]
    parameters: Sequence[Json] = ()
    body: Mapping[str, Json] = field(default_factory=dict)
    description: str = ""
    needs_body: bool = True


def query(name: str, description: str, schema: Json, **more: Any) -> Json:
    """Describe a query parameter; `more` are further fields, such as `required`."""
    return {"name": name, "in": "query", "description": description, "schema": schema, **more}


def answer(
    description: str, schema: Json, media_type: str = JSON, headers: Json | None = None
) -> Json:
    """Describe an answer with a body of one media type."""
    described = {"description": description, "content": {media_type: {"schema": schema}}}
    return {**described, "headers": headers} if headers else described


def errors(*statuses: int) -> dict[int, Json]:
    """Describe errors, all of which have the same body."""
    return {status: answer(MEANINGS[status], ERROR) for status in statuses}


def record(properties: Json, *optional: str, **more: Any) -> Json:
    """Describe an object; all properties but the optional ones are always there."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        **more,
    }


def text_header(description: str) -> Json:
    """Describe a header of an answer."""
    return {"description": description, "schema": {"type": "string"}}


WHOLE_NUMBER: Json = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
STRING: Json = {"type": "string"}
#: Bytes cannot be said in a schema: at most 256 of UTF-8, which 64 characters never exceed.
DEVICE_ID: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": 256,
    "pattern": r"^[^\u0000-\u001F\u007F-\u009F]+$",
    "description": "1 to 256 bytes of UTF-8 without control characters",
}
#: In a list they are separated by commas; one with a comma is at `/v0/devices/`.
LISTED_ID: Json = {**DEVICE_ID, "pattern": r"^[^\u0000-\u001F\u007F-\u009F,]+$"}

READ_HEADERS: Json = {
    "X-View-Version": text_header("The view version that the answer is made from"),
    "X-Applied-Offsets": text_header(
        "partition:offset, up to which every record is counted, quarantined or passed over"
    ),
    "X-Lag-Records": text_header("Records of the log that are not applied yet, or unknown"),
}
TAGGED_HEADERS: Json = {
    **READ_HEADERS,
    "ETag": text_header("Changes with the totals; send it back in If-None-Match"),
}
NOT_MODIFIED: Json = {"description": MEANINGS[304], "headers": TAGGED_HEADERS}
