"""Where a token may stand, and what a request's head may be; scopes by route: test_routes.py."""

import asyncio
import logging
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from opentelemetry.trace import TracerProvider
from prometheus_client import generate_latest

from api.auth.token_store import TokenStore
from api.errors import ApiError, PartlyWritten
from api.http.routing import DirectRoute
from api.settings import ApiSettings
from tests.api_doubles import Caller, caller_for, filled_view
from tests.records import reading_value

PIPE = "/v0/pipes/energy_consumption_by_device.json"


@pytest.fixture
async def caller(tmp_path: Path) -> Caller:
    return caller_for(tmp_path, await filled_view({"a": (1, 1)}))


@pytest.mark.parametrize("target", ["/health", "/ready"])
async def test_health_and_ready_need_no_token(caller: Caller, target: str) -> None:
    caller.token = None
    assert (await caller.get(target)).status == 200


def with_authorization(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), *((b"authorization", value) for value in values)]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer wrong",
        b"Basic dXNlcjpwdw==",
        b"Bearer two words",
        b"Bearer \xff\xfe",
        "Bearer \N{GRINNING FACE}".encode(),
        b"Bearer " + b"x" * 60_000,
        b"TOKEN",
    ],
)
async def test_h1_h2_h3_h4_h8_whatever_is_wrong_with_a_token_the_answer_is_the_same(
    caller: Caller, value: bytes
) -> None:
    value = value.replace(b"TOKEN", str(caller.token).encode())
    none = await caller.request("GET", PIPE, raw_headers=[(b"host", b"x")])
    answer = await caller.request("GET", PIPE, raw_headers=with_authorization(value))
    assert (answer.status, answer.body) == (403, none.body)


async def test_h8_expired_and_revoked_tokens_are_refused_alike(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    store = TokenStore(caller.services.settings.home / "tokens.json", clock=lambda: 0.0)
    old = store.create("old", ["ADMIN"], expires_in_days=1)
    revoked = store.create("revoked", ["ADMIN"])
    caller.token = revoked
    assert (await caller.get(PIPE)).status == 200
    store.revoke("revoked")
    answers = []
    for caller.token in (old, revoked, "never"):
        answers.append(await caller.get(PIPE))
    assert {answer.status for answer in answers} == {403}
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize("form", [b"bearer %b", b"BEARER %b", b"Bearer  %b  ", b" Bearer %b\t"])
async def test_h5_case_and_blanks_do_not_matter(caller: Caller, form: bytes) -> None:
    headers = with_authorization(form % str(caller.token).encode())
    assert (await caller.request("GET", PIPE, raw_headers=headers)).status == 200


async def test_h6_two_authorization_headers_are_400(caller: Caller) -> None:
    value = f"Bearer {caller.token}".encode()
    headers = with_authorization(value, value)
    assert (await caller.request("GET", PIPE, raw_headers=headers)).status == 400


async def test_h7_the_header_counts_more_than_the_parameter(caller: Caller) -> None:
    good = caller.token
    assert (await caller.get(f"{PIPE}?token=wrong")).status == 200
    caller.token = "wrong"
    assert (await caller.get(f"{PIPE}?token={good}")).status == 403
    caller.token = None
    assert (await caller.get(f"{PIPE}?token={good}")).status == 200
    assert (await caller.get(f"{PIPE}?token={good}&token={good}")).status == 400


async def test_h11_many_wrong_tokens_change_nothing_for_others(caller: Caller) -> None:
    good = caller.token
    for number in range(1_000):
        caller.token = f"wrong{number}"
        assert (await caller.get(PIPE)).status == 403
    caller.token = good
    assert (await caller.get(PIPE)).status == 200


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("FOO", PIPE, {"GET", "HEAD", "POST"}),
        ("TRACE", "/health", {"GET", "HEAD"}),
        ("DELETE", "/v0/devices/a", {"GET", "HEAD"}),
        ("GET", "/v0/events", {"POST"}),
        ("PUT", "/v0/events?name=energy_consumption", {"POST"}),
    ],
)
async def test_h31_other_methods_are_405_and_told_which_there_are(
    caller: Caller, method: str, target: str, allowed: set[str]
) -> None:
    answer = await caller.request(method, target)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert answer.error


@pytest.mark.parametrize("target", [PIPE, "/v0/events", "/nowhere"])
async def test_options_is_204_with_cors_and_needs_no_token(caller: Caller, target: str) -> None:
    caller.token = None
    answer = await caller.request("OPTIONS", target, headers={"origin": "https://a.example"})
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers


ASKED = "authorization,baggage,sentry-trace,traceparent"


@pytest.mark.parametrize("origins", ["*", "https://a.example"])
async def test_c7_a_page_may_send_whatever_header_it_asks_for(tmp_path: Path, origins: str) -> None:
    caller = caller_for(tmp_path, None, cors_origins=origins)
    caller.token = None
    asked = {"access-control-request-method": "POST", "access-control-request-headers": ASKED}
    answer = await caller.request(
        "OPTIONS", "/v0/events", headers={"origin": "https://a.example", **asked}
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-headers"] == ASKED
    assert answer.headers["access-control-allow-origin"] == origins
    assert {each.strip().lower() for each in answer.headers["vary"].split(",")} == {
        "origin",
        "access-control-request-method",
        "access-control-request-headers",
    }
    odd = await caller.request(
        "OPTIONS", "/v0/events", headers={"access-control-request-headers": "a\u00e9"}
    )
    assert odd.headers["access-control-allow-headers"] == "Authorization, *"


async def test_answers_and_errors_may_be_read_by_browsers(caller: Caller) -> None:
    for target in (PIPE, "/nowhere", f"{PIPE}?limit=x"):
        answer = await caller.get(target, origin="https://a.example")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "X-Applied-Offsets" in answer.headers["access-control-expose-headers"]


async def test_only_listed_origins_are_allowed_where_some_are_listed(tmp_path: Path) -> None:
    view = await filled_view({"a": (1, 1)})
    caller = caller_for(tmp_path, view, cors_origins="https://a.example, https://b.example")
    listed = await caller.get(PIPE, origin="https://b.example")
    assert listed.headers["access-control-allow-origin"] == "https://b.example"
    other = await caller.get(PIPE, origin="https://evil.example")
    assert "access-control-allow-origin" not in other.headers
    assert other.headers["vary"] == "Origin"


async def test_h32_a_body_on_get_is_not_read(caller: Caller) -> None:
    answer = await caller.request("GET", PIPE, body=[b"x" * 100_000] * 10)
    assert answer.status == 200


async def test_h47_forwarded_addresses_change_nothing(caller: Caller) -> None:
    assert (await caller.get(PIPE, x_forwarded_for="127.0.0.1")).status == 200


async def test_an_unexpected_failure_is_a_counted_503_without_its_reason(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        state = property(lambda self: 1 / 0)

    caller.services.live.placed = Broken()  # type: ignore[attr-defined]
    answer = await caller.get(f"{PIPE}?token=secret")
    assert answer.status == 503
    assert "retry-after" in answer.headers
    assert "division" not in answer.error
    assert caller.services.metrics.unexpected_errors._value.get() == 1
    assert "division" in caplog.text
    assert "secret" not in caplog.text


async def never(request: Any) -> Any:
    await asyncio.Event().wait()


async def counted(request: Any) -> Any:
    """As a handler whose first rows are in the log."""
    try:
        await never(request)
    except asyncio.CancelledError:
        raise PartlyWritten(
            "the server stops", successful_rows=1, quarantined_rows=2, unknown_rows=3
        ) from None


@pytest.mark.parametrize(("handler", "status"), [(never, 503), (counted, 504)])
async def test_b4_a_request_that_a_stop_cuts_short_is_answered_with_what_is_known(
    caller: Caller, handler: Any, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller.app.router, "routes", [DirectRoute("/health", handler)])
    asking = asyncio.create_task(caller.get("/health"))
    await asyncio.sleep(0)
    asking.cancel()
    answer = await asking
    assert answer.status == status
    assert ("retry-after" in answer.headers) == (status == 503)
    assert answer.json().get("unknown_rows") == (None if status == 503 else 3)
    assert caller.services.metrics.unexpected_errors._value.get() == 0


@pytest.mark.parametrize(
    "target",
    [
        f"{PIPE}?token=SECRET",
        f"{PIPE}?token=SECRET&token=SECRET",
        f"{PIPE}?token=%zzSECRET",
        f"{PIPE}?token=SECRET%ff",
        f"{PIPE}?limit=x&token=SECRET",
        "/v0/events?name=energy_consumption&token=SECRET&colour=red",
        "/nowhere?token=SECRET",
        "/v0/devices/x?token=SECRET",
        "/metrics?token=SECRET",
    ],
)
async def test_a_token_is_in_no_log_error_or_metric(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, target: str
) -> None:
    caplog.set_level(logging.DEBUG)
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}), rate_limit_per_second=2)
    good = str(caller.token)
    for secret in (good, "et_wrong"):
        for caller.token in (None, secret):
            for method in ("GET", "POST", "FOO", "OPTIONS"):
                answer = await caller.request(method, target.replace("SECRET", secret))
                assert secret not in answer.body.decode()
                assert secret not in str(answer.headers)
    caller.services.live.placed = None  # type: ignore[attr-defined]
    caller.services.tokens._path = Path("/dev/null/tokens.json")
    await caller.get(target.replace("SECRET", good))
    metrics = generate_latest(caller.services.metrics.registry).decode()
    for text in (caplog.text, metrics, repr(caller.services.settings)):
        assert good not in text
        assert "et_wrong" not in text


async def test_a_token_is_in_no_span(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """FastAPI makes spans, the query in them, as soon as the environment says where to."""
    asked: list[object] = []
    provider = Mock(TracerProvider, get_tracer=lambda *names, **more: asked.append(names))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    answer = await caller.get(f"/v0/devices/a?token={caller.token}")
    assert (answer.status, asked) == (200, [])


async def test_ready_says_why_not(tmp_path: Path) -> None:
    view = await filled_view({"a": (1, 1)})
    caller = caller_for(tmp_path, view, end_offsets={0: 10}, max_lag_records=5)
    assert (await caller.get("/ready")).status == 200
    caller.services.lag.saw({0: 16})
    answer = await caller.get("/ready")
    assert answer.status == 503
    assert "API_MAX_LAG_RECORDS" in answer.json()["reasons"][0]
    caller.services.lag._asked_at = None
    assert "unknown" in (await caller.get("/ready")).json()["reasons"][0]
    caller.services.live.placed = None  # type: ignore[attr-defined]
    assert (await caller.get("/ready")).status == 503
    assert (await caller.get("/health")).status == 200


async def test_ready_goes_on_when_kafka_is_silent_and_no_lag_is_set(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    answer = await caller.get("/ready")
    assert answer.status == 200
    assert answer.json()["lag_records"] is None


async def test_metrics_count_requests_and_rows(caller: Caller) -> None:
    await caller.events(reading_value() + b"\n{}")
    await caller.get("/v0/devices/x")
    text = (await caller.get("/metrics")).body.decode()
    assert 'api_rows_total{outcome="successful"} 1.0' in text
    assert 'api_rows_total{outcome="quarantined"} 1.0' in text
    assert 'api_requests_total{route="/v0/devices/{device_id:path}",status="404"} 1.0' in text
    assert 'api_view_applied_offset{partition="0"} 9.0' in text


async def test_no_route_is_404_with_the_error_body(caller: Caller) -> None:
    answer = await caller.get("/v0/sql")
    assert answer.status == 404
    assert "/v0/sql" in answer.error


def test_every_error_of_the_tree_has_a_status() -> None:
    def below(kind: type[ApiError]) -> set[type[ApiError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    statuses = {kind.status for kind in below(ApiError) - {ApiError}}
    assert statuses == {400, 403, 404, 405, 408, 413, 414, 422, 429, 431, 503, 504}


def test_settings_have_the_contracts_defaults() -> None:
    settings = ApiSettings.load({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.wait_timeout_seconds == 10
    assert settings.max_body_bytes == 10_000_000
    assert settings.max_inflated_bytes == 100_000_000
    assert settings.cors_origins == "*"
    assert settings.max_lag_records is None
