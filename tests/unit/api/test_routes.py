"""Every route with every scope: allowed or 403; a route that is not in the table fails.

A request is made from what stands beside the route: the examples of its parameters and body.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from api.app import create_app
from api.auth.token_store import SCOPES
from api.http.routing import PlainRoute
from api.openapi.operation import Operation
from api.settings import ApiSettings
from tests.api_doubles import Answer, Caller, caller_for, filled_view

PIPES = "/v0/pipes/energy_consumption"
READ_TOTALS = {"ADMIN", "PIPES:READ:*", "PIPES:READ:energy_consumption_by_device"}
READ_QUARANTINE = {"ADMIN", "PIPES:READ:*", "PIPES:READ:energy_consumption_quarantine"}
#: Who may do what, as the contract says; the empty set: everybody, without a token.
TABLE: dict[tuple[str, str], set[str]] = {
    ("GET", "/health"): set(),
    ("GET", "/ready"): set(),
    ("GET", "/metrics"): {"ADMIN", "METRICS:READ"},
    ("GET", "/v0/pipes/openapi.json"): set(SCOPES),
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
    ("GET", f"{PIPES}_quarantine.json"): READ_QUARANTINE,
    ("GET", f"{PIPES}_quarantine"): READ_QUARANTINE,
    **{
        (method, f"{PIPES}_by_device{extension}"): READ_TOTALS
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
def operations() -> dict[tuple[str, str], Operation]:
    """Method and path -> what it does, of all routes there are."""

    def found() -> Iterator[tuple[tuple[str, str], Operation]]:
        for route in create_app(ApiSettings.load({})).routes:
            assert isinstance(route, PlainRoute), f"{route} does not say what it does"
            path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
            for method, operation in route.operations.items():
                yield (method, path), operation

    return dict(found())


def test_every_route_is_in_the_table_and_nothing_else() -> None:
    assert set(operations()) == set(TABLE)


def test_what_is_asked_most_is_looked_for_first() -> None:
    # A request is held against one path after the other; dicts keep the order of the routes.
    assert list(operations())[:2] == [("GET", "/v0/devices/{device_id}"), ("POST", "/v0/events")]


def test_every_operation_says_what_it_is_and_needs() -> None:
    for name, operation in operations().items():
        assert operation.summary, name
        assert operation.scopes == TABLE[name], name
        assert operation.answers, name
        for each in operation.parameters:
            assert each["description"], name
            assert "example" in each or not each.get("required"), (name, each["name"])


async def send(caller: Caller, method: str, path: str) -> Answer:
    """Send the request that the operation's examples make."""
    operation = operations()[method, path]
    target, query = path, {}
    for each in operation.parameters:
        if each["in"] == "path":
            target = target.replace(f"{{{each['name']}}}", str(each["example"]))
        elif each.get("required"):
            query[each["name"]] = str(each["example"])
    headers: dict[str, Any] = {}
    body = b""
    for media_type, described in operation.body.items():
        headers["content-type"] = media_type
        body = str(described.get("example", "")).encode()
        break
    return await caller.request(method, f"{target}?{urlencode(query)}", headers=headers, body=body)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", TABLE, ids=" ".join)
async def test_h9_h10_a_route_needs_its_scope(
    tmp_path: Path, name: tuple[str, str], scope: str
) -> None:
    caller = caller_for(tmp_path, await filled_view({"device_7": (1, 1)}), scope=scope)
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
