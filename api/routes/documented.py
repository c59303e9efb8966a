"""What OpenAPI says about all routes alike: errors, headers, bodies of errors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Responses = dict[int | str, dict[str, Any]]


class Error(BaseModel):
    """What went wrong and where; some errors say more."""

    error: str
    documentation: str


class RowsError(Error):
    """An error after which rows are in the log, or may be."""

    successful_rows: int
    quarantined_rows: int
    unknown_rows: int


_MEANINGS = {
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


def headers(**described: str) -> dict[str, Any]:
    """Describe headers of an answer, named as in Python."""
    return {
        name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
        for name, text in described.items()
    }


def errors(*statuses: int) -> Responses:
    """Describe errors, all of which have the same body."""
    return {status: {"model": Error, "description": _MEANINGS[status]} for status in statuses}


def content(media_type: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Describe the body of a good answer, for a route whose response class does not."""
    return {"content": {media_type: {"schema": schema}}, **more}


_RETRY = headers(Retry_After="Seconds to wait before trying again")
_RATE = headers(
    X_RateLimit_Limit="Requests a token may make in a second",
    X_RateLimit_Remaining="Of these, how many are left",
    X_RateLimit_Reset="Seconds until all are there again",
)
#: What every request can run into, and every request that needs a token.
EVERYWHERE = errors(400, 414, 431, 503)
EVERYWHERE[503]["headers"] = _RETRY
WITH_TOKEN = EVERYWHERE | errors(403, 429)
WITH_TOKEN[429]["headers"] = _RETRY | _RATE
#: Rows are in the log, or may be.
PARTLY_WRITTEN: Responses = {504: {"model": RowsError, "description": _MEANINGS[504]}}

READ_HEADERS = headers(
    X_View_Version="The view version that the answer is made from",
    X_Applied_Offsets="partition:offset, up to which every record is counted, quarantined or"
    " passed over",
    X_Lag_Records="Records of the log that are not applied yet, or unknown",
)
TAGGED_HEADERS = READ_HEADERS | headers(
    ETag="Changes with the totals; send it back in If-None-Match"
)
NOT_MODIFIED: Responses = {304: {"description": _MEANINGS[304], "headers": TAGGED_HEADERS}}

_SERIES_HEADERS = TAGGED_HEADERS | headers(
    X_Timezone_Version="The release of the zone data that buckets are cut with"
)


def of_the_series(described: dict[str, Any]) -> Responses:
    """Describe the answers out of the series: a body, or nothing where nothing has changed."""
    return {
        200: described | {"headers": _SERIES_HEADERS},
        304: {"description": _MEANINGS[304], "headers": _SERIES_HEADERS},
    }
