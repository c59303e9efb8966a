"""Every route with every scope: allowed or 403; a route that is not in the table fails.

A request is made from what the document says: the examples of its parameters and body.
"""

from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.routing import APIRoute

from api.app import create_app
from api.auth.scopes import SCOPES, granting
from api.errors import ClientGone
from api.settings import ApiSettings
from tests.api_doubles import Answer, Caller, HandmadeLive, caller_for, filled_view
from tests.series_double import MemorySeries, MemorySource

PIPES = "/v0/pipes/energy_consumption"
READ_TOTALS = {"ADMIN", "PIPES:READ:*", "PIPES:READ:energy_consumption_by_device"}
READ_QUARANTINE = {"ADMIN", "PIPES:READ:*", "PIPES:READ:energy_consumption_quarantine"}
#: Who may do what, as the contract says; the empty set: everybody, without a token.
TABLE: dict[tuple[str, str], set[str]] = {
    ("GET", "/health"): set(),
    ("GET", "/ready"): set(),
    ("GET", "/metrics"): {"ADMIN", "METRICS:READ"},
    ("GET", "/v0/pipes/openapi.json"): set(SCOPES),
    ("GET", "/openapi.json"): set(SCOPES),
    ("GET", "/docs"): set(SCOPES),
    ("POST", "/v0/events"): {"ADMIN", "DATASOURCES:APPEND:energy_consumption"},
    ("POST", "/v0/datasources"): {"ADMIN", "DATASOURCES:APPEND:energy_consumption"},
    ("POST", "/v1/datasources/energy_consumption/append"): {
        "ADMIN",
        "DATASOURCES:APPEND:energy_consumption",
    },
    ("GET", "/v0/datasources"): {"ADMIN", "DATASOURCES:READ:energy_consumption"},
    ("GET", "/v0/datasources/energy_consumption"): {
        "ADMIN",
        "DATASOURCES:READ:energy_consumption",
    },
    ("GET", "/v0/devices/{device_id}"): READ_TOTALS,
    ("GET", f"{PIPES}_by_device/stream"): READ_TOTALS,
    ("GET", f"{PIPES}_quarantine.json"): READ_QUARANTINE,
    ("GET", f"{PIPES}_quarantine"): READ_QUARANTINE,
    **{
        (method, f"{PIPES}_{pipe}{extension}"): {
            "ADMIN",
            "PIPES:READ:*",
            f"PIPES:READ:energy_consumption_{pipe}",
        }
        for pipe in ("by_device", "over_time", "by_location")
        for method in ("GET", "POST")
        for extension in (
            "",
            ".json",
            ".csv",
            ".csvwithnames",
            ".ndjson",
            ".parquet",
            ".prometheus",
        )
    },
}


@cache
def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Method and path -> what the document says of it, in the order of the routes."""
    paths = create_app(ApiSettings.load({}), HandmadeLive(None)).openapi()["paths"]
    return {
        (method.upper(), path): operation
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def test_every_route_is_in_the_table_and_nothing_else() -> None:
    assert set(operations()) == set(TABLE)
    routes = {
        (method, route.path_format)
        for route in create_app(ApiSettings.load({}), HandmadeLive(None)).routes
        if isinstance(route, APIRoute)
        for method in route.methods - {"HEAD"}
    }
    assert routes == set(TABLE)


def test_what_is_asked_most_is_looked_for_first() -> None:
    # A request is held against one path after the other; dicts keep the order of the routes.
    assert list(operations())[:2] == [("GET", "/v0/devices/{device_id}"), ("POST", "/v0/events")]


def test_every_operation_says_what_it_is_and_needs() -> None:
    for name, operation in operations().items():
        assert operation["summary"], name
        assert operation["tags"], name
        needed = [each.get("header") for each in operation.get("security", [])]
        if TABLE[name] == set(SCOPES):
            assert [] in needed, name
        elif TABLE[name]:
            ((scope,),) = [each for each in needed if each is not None]
            assert granting(scope) == TABLE[name], name
        assert bool(needed) == bool(TABLE[name])
        for each in operation.get("parameters", []):
            assert each["description"], name
            assert "examples" in each["schema"] or not each.get("required"), (name, each["name"])


async def send(caller: Caller, method: str, path: str) -> Answer:
    """Send the request that the operation's examples make."""
    operation = operations()[method, path]
    target, query = path, {}
    for each in operation.get("parameters", []):
        if each["in"] == "path":
            target = target.replace(f"{{{each['name']}}}", each["schema"]["examples"][0])
        elif each.get("required"):
            query[each["name"]] = each["schema"]["examples"][0]
    headers: dict[str, Any] = {}
    body = b""
    for media_type, described in operation.get("requestBody", {}).get("content", {}).items():
        headers["content-type"] = media_type
        body = str(described.get("example", "")).encode()
        break
    # A stream has no end but the client's.
    gone = gone_after(3) if path.endswith("/stream") else None
    return await caller.request(
        method, f"{target}?{urlencode(query)}", headers=headers, body=body, before_send=gone
    )


def gone_after(messages: int) -> Callable[[], Awaitable[None]]:
    """A client that goes away when it has taken these."""
    left = messages

    async def go() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ClientGone

    return go


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", TABLE, ids=" ".join)
async def test_h9_h10_a_route_needs_its_scope(
    tmp_path: Path, name: tuple[str, str], scope: str
) -> None:
    view = await filled_view({"device_7": (1, 1)})
    caller = caller_for(tmp_path, view, scope=scope, series=MemorySource(MemorySeries()))
    answer = await send(caller, *name)
    if TABLE[name] and scope not in TABLE[name]:
        assert answer.status == 403
        assert scope not in answer.error
    else:
        assert answer.status in (200, 202)


@pytest.mark.parametrize("name", TABLE, ids=" ".join)
async def test_h1_h49_every_route_with_a_scope_refuses_strangers(
    tmp_path: Path, name: tuple[str, str]
) -> None:
    caller = caller_for(tmp_path, await filled_view({"device_7": (1, 1)}))
    caller.token = None
    assert (await send(caller, *name)).status == (403 if TABLE[name] else 200)


@pytest.mark.parametrize("name", [each for each in TABLE if each[0] == "GET"], ids=" ".join)
async def test_head_is_refused_as_get_is(tmp_path: Path, name: tuple[str, str]) -> None:
    caller = caller_for(tmp_path, await filled_view({"device_7": (1, 1)}))
    caller.token = "wrong"
    path = name[1].replace("{device_id}", "device_7")
    assert (await caller.request("HEAD", path)).status == (403 if TABLE[name] else 200)
