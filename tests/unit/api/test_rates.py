"""The rate limit: how many requests a token may send, and what an answer says of it."""

from pathlib import Path

import pytest

from api.auth.rate_limit import BUCKETS, RateLimit
from api.auth.token_store import TokenStore
from api.errors import TooManyRequests
from contract.settings import TOKENS_NAME
from tests.api_doubles import Caller, ScriptedPublisher, caller_for, filled_view
from tests.clock import Clock
from tests.records import reading_value

PIPE = "/v0/pipes/energy_consumption_by_device.json"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(tmp_path: Path, clock: Clock) -> RateLimit:
    return RateLimit(5, TokenStore(tmp_path / TOKENS_NAME), clock=clock)


def test_a_second_holds_as_many_requests_as_the_limit(rates: RateLimit, clock: Clock) -> None:
    assert [rates.take("a").remaining for _ in range(5)] == [4, 3, 2, 1, 0]
    assert rates.take("a") == (0, 1, 1)
    assert rates.take("b").wait_seconds == 0
    clock.now += 0.2
    assert rates.take("a") == (0, 1, 0)
    assert rates.take("a").wait_seconds == 1
    clock.now += 0.999
    assert [rates.take("a").wait_seconds for _ in range(5)] == [0, 0, 0, 0, 1]


def test_a_steady_rate_at_the_limit_is_never_refused(rates: RateLimit, clock: Clock) -> None:
    for _ in range(100_000):
        clock.now += 0.2
        assert not rates.take("a").wait_seconds


def test_refused_requests_cost_nothing(rates: RateLimit, clock: Clock) -> None:
    for _ in range(1_000):
        rates.take("a")
    clock.now += 1.0
    assert not rates.take("a").wait_seconds


def test_buckets_that_are_full_again_are_forgotten(rates: RateLimit, clock: Clock) -> None:
    for number in range(BUCKETS):
        rates.take(f"old{number}")
    clock.now += 10
    rates.take("new")
    assert len(rates._full_at) == 1


async def limited(tmp_path: Path, publisher: ScriptedPublisher | None = None) -> Caller:
    view = await filled_view({"a": (1, 1)})
    return caller_for(tmp_path, view, publisher, rate_limit_per_second=2)


async def test_over_the_limit_is_429_and_says_when_to_go_on(tmp_path: Path) -> None:
    publisher = ScriptedPublisher()
    caller = await limited(tmp_path, publisher)
    first = await caller.get(PIPE)
    assert first.status == 200
    assert first.headers["x-ratelimit-limit"] == "2"
    assert first.headers["x-ratelimit-remaining"] == "1"
    assert first.headers["x-ratelimit-reset"] == "1"
    assert "retry-after" not in first.headers
    assert (await caller.events(reading_value())).status == 202
    refused = await caller.events(reading_value())
    assert refused.status == 429
    assert refused.error
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert "X-RateLimit-Reset" in refused.headers["access-control-expose-headers"]
    assert len(publisher.rows) == 1


async def test_each_token_has_a_bucket_of_its_own(tmp_path: Path) -> None:
    caller = await limited(tmp_path)
    store = TokenStore(caller.services.settings.home / TOKENS_NAME)
    other = store.create("other", ["ADMIN"])
    for _ in range(3):
        last = await caller.get(PIPE)
    assert last.status == 429
    assert (await caller.get(f"{PIPE}?limit=1")).status == 429
    caller.token = None
    assert (await caller.get(f"{PIPE}?token={other}")).status == 200


async def test_strangers_and_probes_are_not_counted(tmp_path: Path) -> None:
    caller = await limited(tmp_path)
    good, caller.token = caller.token, "wrong"
    for _ in range(5):
        answer = await caller.get(PIPE)
        assert answer.status == 403
        assert "x-ratelimit-limit" not in answer.headers
    caller.token = None
    for _ in range(5):
        assert (await caller.get("/health")).status == 200
        assert (await caller.request("OPTIONS", PIPE)).status == 204
    caller.token = good
    assert (await caller.get(PIPE)).status == 200


async def test_without_a_limit_nothing_is_said_of_one(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    for _ in range(50):
        answer = await caller.get(PIPE)
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


def test_the_error_has_the_headers_of_the_answer(rates: RateLimit, tmp_path: Path) -> None:
    secret = TokenStore(tmp_path / TOKENS_NAME).create("a", ["ADMIN"])
    scope = {"query_string": b"", "headers": [(b"authorization", f"Bearer {secret}".encode())]}
    for _ in range(5):
        rates.count(scope)
    with pytest.raises(TooManyRequests) as caught:
        rates.count(scope)
    names = {name for name, _ in caught.value.headers}
    assert names == {"Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining"} | {
        "X-RateLimit-Reset"
    }
