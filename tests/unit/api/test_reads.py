"""The listing and point reads: rows, order, parameters, headers, and 503 while loading."""

import json
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from api.view.copy.commit import Commit
from api.view.followed_view import ViewState
from api.view.version_views import may_follow
from contract.changelog import BIRTH_KEY, Birth, Marker, encode_birth
from tests.api_doubles import (
    Answer,
    Caller,
    caller_for,
    changelog_chunk,
    filled_view,
    transaction,
)
from tests.totals_double import FedView

PIPE = "/v0/pipes/energy_consumption_by_device"
HUGE = 10**308


@pytest.fixture
async def caller(tmp_path: Path) -> Caller:
    view = await filled_view(
        {"b": (5, 1), "a": (Decimal("0.1"), 1), "a/b": (7, 2), "c,d": (-3, 1)},
        {"a": (Decimal("0.2"), 3), "huge": (HUGE, 1), "é": (2**53 + 1, 1)},
        {"huge": (HUGE, 1)},
    )
    return caller_for(tmp_path, view, end_offsets={0: 10, 1: 12, 2: 10})


def rows(answer: Answer) -> list[tuple[str, float | None]]:
    assert answer.status == 200, answer.body
    content = answer.json()
    assert content["rows"] == len(content["data"])
    return [(row["device_id"], row["total_energy_consumed"]) for row in content["data"]]


def ids(answer: Answer) -> list[str]:
    return [device_id for device_id, _ in rows(answer)]


async def test_all_rows_come_in_order_of_device_id_when_nothing_is_asked(caller: Caller) -> None:
    answer = await caller.get(f"{PIPE}.json")
    assert rows(answer) == [
        ("a", 0.3),
        ("a/b", 7),
        ("b", 5),
        ("c,d", -3),
        ("huge", None),
        ("é", 2**53),
    ]
    assert answer.headers["content-type"] == "application/json"


async def test_the_extension_may_be_left_out(caller: Caller) -> None:
    assert ids(await caller.get(PIPE)) == ids(await caller.get(f"{PIPE}.json"))


async def test_the_answer_has_the_tutorials_shape(caller: Caller) -> None:
    content = (await caller.get(f"{PIPE}.json?limit=2")).json()
    assert list(content) == ["meta", "data", "rows", "rows_before_limit_at_least", "statistics"]
    assert content["meta"] == [
        {"name": "device_id", "type": "String"},
        {"name": "total_energy_consumed", "type": "Float64"},
    ]
    assert content["rows"] == 2
    assert content["rows_before_limit_at_least"] == 6
    assert set(content["statistics"]) == {"elapsed", "rows_read", "bytes_read"}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("device_id", ["a", "a/b", "b", "c,d", "huge", "é"]),
        ("-device_id", ["é", "huge", "c,d", "b", "a/b", "a"]),
        ("total_energy_consumed", ["c,d", "a", "b", "a/b", "é", "huge"]),
        ("-total_energy_consumed", ["huge", "é", "a/b", "b", "a", "c,d"]),
    ],
)
async def test_rows_come_in_the_order_asked_for(
    caller: Caller, order: str, expected: list[str]
) -> None:
    assert ids(await caller.get(f"{PIPE}?order_by={order}")) == expected
    assert ids(await caller.get(f"{PIPE}?order_by={order}&limit=2&offset=1")) == expected[1:3]
    chosen = f"{PIPE}?order_by={order}&device_id=b,a&device_id=huge"
    assert ids(await caller.get(chosen)) == [
        each for each in expected if each in {"a", "b", "huge"}
    ]


@pytest.mark.parametrize(
    "query", ["limit=0", "offset=6", "offset=999999999999999999", "limit=0&offset=3"]
)
async def test_h22_nothing_left_is_an_empty_list(caller: Caller, query: str) -> None:
    for order in ("device_id", "-device_id", "total_energy_consumed"):
        content = (await caller.get(f"{PIPE}?order_by={order}&{query}")).json()
        assert content["data"] == []
        assert content["rows_before_limit_at_least"] == 6


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize(
    "text",
    ["-1", "1_0", "%2B1", "+1", "1e3", "nan", "", str(2**63), "%EF%BC%91%EF%BC%92", "1.0", "0x1"],
)
async def test_h21_odd_numbers_are_400_and_named(caller: Caller, name: str, text: str) -> None:
    answer = await caller.get(f"{PIPE}.json?{name}={text}")
    assert answer.status == 400
    assert name in answer.error


@pytest.mark.parametrize(
    "query",
    [
        "limit=1&limit=1",
        "order_by=x",
        "order_by=",
        "colour=red",
        "order_by=device_id&order_by=device_id",
    ],
)
async def test_h26_bad_parameters_are_400(caller: Caller, query: str) -> None:
    assert (await caller.get(f"{PIPE}.json?{query}")).status == 400


async def test_a_path_without_parameters_says_so(caller: Caller) -> None:
    answer = await caller.get("/v0/devices/a?colour=red")
    assert answer.error == "unknown parameter 'colour'; this path takes none"
    assert (
        "this path takes device_id, end, exact, limit"
        in (await caller.get(f"{PIPE}?colour=red")).error
    )


@pytest.mark.parametrize("query", ["from=python-sdk", "__tb__semver=1.0", "cli_version=5", "a&"])
async def test_h27_reserved_names_are_ignored(caller: Caller, query: str) -> None:
    status = 400 if query == "a&" else 200
    assert (await caller.get(f"{PIPE}.json?{query}")).status == status


async def test_h28_thousands_of_parameters_are_refused_at_once(caller: Caller) -> None:
    answer = await caller.get(f"{PIPE}.json?" + "&".join(["a=1"] * 7_000))
    assert answer.status == 400
    distinct = await caller.get(f"{PIPE}.json?" + "&".join(f"a{n}=1" for n in range(7_000)))
    assert 400 <= distinct.status < 500


@pytest.mark.parametrize("value", ["", "," * 257, "x" * 257, "%00", "a%0Ab"])
async def test_h29_a_value_that_is_no_device_id_is_400(caller: Caller, value: str) -> None:
    assert (await caller.get(f"{PIPE}.json?device_id={value}")).status == 400


async def test_h30_one_device_asked_for_a_thousand_times_is_one_row(caller: Caller) -> None:
    answer = await caller.get(f"{PIPE}.json?" + "&".join(["device_id=b"] * 1_000))
    assert rows(answer) == [("b", 5)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("c,d", ["c,d"]),
        ("b,c,d", ["b"]),
        ("a,c,d,b", ["a", "b"]),
        ("x,a", ["a"]),
        ("a,,b", ["a", "b"]),
    ],
)
async def test_a_value_with_a_comma_stands_for_itself_and_for_its_parts(
    caller: Caller, value: str, expected: list[str]
) -> None:
    assert ids(await caller.get(f"{PIPE}.json?device_id={value}")) == expected
    both = await caller.get(f"{PIPE}.json?device_id={value}&device_id=c,d")
    assert ids(both) == sorted({*expected, "c,d"})


async def test_a_long_value_is_its_parts_alone(caller: Caller) -> None:
    assert ids(await caller.get(f"{PIPE}.json?device_id={'x,' * 200}b")) == ["b"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "order_by=-device_id",
        "order_by=total_energy_consumed",
        "order_by=-total_energy_consumed&limit=4",
        "device_id=huge,a,x",
        "limit=2&offset=1",
    ],
)
async def test_exact_totals_are_those_of_the_device_alone(caller: Caller, query: str) -> None:
    content = (await caller.get(f"{PIPE}.json?exact=true&{query}")).json()
    assert [each["name"] for each in content["meta"]] == [
        "device_id",
        "total_energy_consumed",
        "total_energy_consumed_exact",
        "readings",
    ]
    plain = await caller.get(f"{PIPE}.json?exact=false&{query}")
    assert [row["device_id"] for row in content["data"]] == ids(plain)
    for row in content["data"]:
        assert row == (await caller.get(f"/v0/devices/{quote(row['device_id'], safe='')}")).json()


async def test_exact_is_true_or_false(caller: Caller) -> None:
    answer = await caller.get(f"{PIPE}.json?exact=1")
    assert answer.status == 400
    assert "exact" in answer.error


async def test_h12_an_unknown_device_is_no_row_in_the_listing_and_404_alone(caller: Caller) -> None:
    answer = await caller.get(f"{PIPE}.json?device_id=x,b")
    assert rows(answer) == [("b", 5)]
    assert answer.json()["rows_before_limit_at_least"] == 1
    assert (await caller.get("/v0/devices/x")).status == 404


async def test_a_device_shows_its_total_exactly(caller: Caller) -> None:
    assert (await caller.get("/v0/devices/a")).json() == {
        "device_id": "a",
        "total_energy_consumed": 0.3,
        "total_energy_consumed_exact": "0.3",
        "readings": 4,
    }
    exact = (await caller.get("/v0/devices/%C3%A9")).json()
    assert exact["total_energy_consumed_exact"] == str(2**53 + 1)
    assert exact["total_energy_consumed"] == 2**53


async def test_k20_a_total_beyond_float64_is_null_and_exact(caller: Caller) -> None:
    content = (await caller.get("/v0/devices/huge")).json()
    assert content["total_energy_consumed"] is None
    assert content["total_energy_consumed_exact"] == str(2 * HUGE)


@pytest.mark.parametrize(("path", "device"), [("a%2Fb", "a/b"), ("c%2Cd", "c,d"), ("%61", "a")])
async def test_h18_an_escaped_id_is_that_device(caller: Caller, path: str, device: str) -> None:
    assert (await caller.get(f"/v0/devices/{path}")).json()["device_id"] == device


@pytest.mark.parametrize(
    "path",
    [
        "%00",
        "%ff%fe",
        "%ED%A0%80",
        "%ZZ",
        "%",
        "%6",
        "..",
        "a//b",
        "a/b",
        "/a",
        "a/",
        "",
        "%0d%0aX:y",
        "%2e%2e",
        "a%00",
        "x" * 257,
        "%C0%80",
        "a%252Fb",
        "A",
        "a+b",
        "%20a",
        "%c1%a1",
    ],
)
async def test_h14_h17_no_other_spelling_reaches_a_device(caller: Caller, path: str) -> None:
    answer = await caller.get(f"/v0/devices/{path}")
    assert answer.status in (400, 404)
    assert "location" not in answer.headers
    assert "\r" not in answer.error


@pytest.mark.parametrize("extension", [".xml", ".JSON", ".json/", "/", ".json.json", "%2ejson%00"])
async def test_h44_an_unknown_extension_is_404(caller: Caller, extension: str) -> None:
    assert (await caller.get(PIPE + extension)).status == 404


async def test_headers_say_what_the_answer_is_made_from(caller: Caller) -> None:
    for target in (f"{PIPE}.json", "/v0/devices/a"):
        headers = (await caller.get(target)).headers
        assert headers["x-view-version"] == "1"
        assert headers["x-applied-offsets"] == "0:9,1:9,2:9"
        assert headers["x-lag-records"] == "2"


@pytest.mark.parametrize(
    "target", ["/v0/devices/a", PIPE, f"{PIPE}.csv?limit=1", f"{PIPE}?device_id=a"]
)
async def test_every_read_names_what_the_copy_shows_though_nobody_was_told_of_it_yet(
    tmp_path: Path, target: str
) -> None:
    view = await filled_view({"a": (1, 1)})
    caller = caller_for(tmp_path, view)
    before = (await caller.get(PIPE)).headers["etag"]
    await view.copy.write({}, [Commit(0, {b"a": b"1 2 3"}, Marker(applied_offset=12), 99)])
    assert view.applied_offsets() == [9]
    answer = await caller.get(target, **{"If-None-Match": before})
    assert answer.status == 200
    assert answer.headers["x-applied-offsets"] == "0:12"


async def test_no_version_takes_over_that_shows_less_than_was_read_though_nobody_was_told_of_it(
    tmp_path: Path,
) -> None:
    served, following = await filled_view({"a": (1, 1)}), await filled_view({"a": (1, 1)})
    assert may_follow(following, served, None)
    await served.copy.write({}, [Commit(0, {b"a": b"1 2 3"}, Marker(applied_offset=12), 99)])
    assert not may_follow(following, served, None)
    # What was shown binds when the view begins anew, too.
    assert (await caller_for(tmp_path, served).get("/v0/devices/a")).json()["readings"] == 2
    shown, anew = served, await filled_view({})
    shown.become(ViewState.CATCHING_UP)
    anew.become(ViewState.CATCHING_UP)
    await served.copy.reset()
    assert not may_follow(following, anew, shown)
    await following.copy.write({}, [Commit(0, {}, Marker(applied_offset=12), 99)])
    # Streams name what was told: that must not go back either.
    assert not may_follow(following, anew, shown)
    following.partitions[0].pass_marker(Marker(applied_offset=12))
    assert may_follow(following, anew, shown)


async def test_the_lag_is_unknown_when_kafka_does_not_answer(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}))
    assert (await caller.get(PIPE)).headers["x-lag-records"] == "unknown"


async def test_a_partition_without_a_marker_is_applied_to_minus_one(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await filled_view({"a": (1, 1)}, {}), end_offsets={0: 10, 1: 5})
    headers = (await caller.get(PIPE)).headers
    assert headers["x-applied-offsets"] == "0:9,1:-1"
    assert headers["x-lag-records"] == "5"


async def test_an_unchanged_listing_is_304(caller: Caller) -> None:
    tag = (await caller.get(f"{PIPE}.json")).headers["etag"]
    assert tag.startswith('W/"')
    answer = await caller.get(f"{PIPE}.json", if_none_match=tag)
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == tag
    view = caller.services.live.view
    await view.apply(changelog_chunk(transaction({"a": (1, 5)}, 10), start=9))
    changed = await caller.get(f"{PIPE}.json", if_none_match=tag)
    assert changed.status == 200
    assert changed.headers["etag"] != tag


@pytest.mark.parametrize("differing", ["cluster_id", "changelog_topic_id"])
async def test_b9_the_same_offsets_of_another_log_are_not_304(
    tmp_path: Path, differing: str
) -> None:
    tags = []
    for number in ("one", "another"):
        birth = Birth("cluster", "energy_consumption", "source-id", "changelog-id", 0, "1")
        view = FedView(1, 1)
        born = msgspec.structs.replace(birth, **{differing: number})
        records = [(BIRTH_KEY, encode_birth(born)), *transaction({"a": (1, 1)}, 9)]
        await view.apply(changelog_chunk(records))
        view.become(ViewState.RUNNING)
        answer = await caller_for(tmp_path / number, view).get(
            PIPE, if_none_match=tags[0] if tags else "none"
        )
        assert answer.status == 200
        tags.append(answer.headers["etag"])


async def test_b12_the_etag_of_a_thousand_partitions_is_short(tmp_path: Path) -> None:
    view = await filled_view({"a": (1, 1)}, *({} for _ in range(999)))
    caller = caller_for(tmp_path, view)
    tag = (await caller.get(PIPE)).headers["etag"]
    assert len(tag) <= 40
    await view.apply(changelog_chunk(transaction({}, 3), partition=999))
    assert (await caller.get(PIPE)).headers["etag"] != tag


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("*", 304),
        ('"x", TAG', 304),
        ("OPAQUE", 304),
        ("x", 200),
        ('"', 200),
        ("", 200),
        ("W/", 200),
    ],
)
async def test_h46_odd_if_none_match(caller: Caller, value: str, status: int) -> None:
    tag = (await caller.get(PIPE)).headers["etag"]
    value = value.replace("TAG", tag).replace("OPAQUE", tag[2:])
    assert (await caller.get(PIPE, if_none_match=value)).status == status


@pytest.mark.parametrize("state", [None, ViewState.INITIALIZING, ViewState.CATCHING_UP])
async def test_h13_while_the_view_loads_reads_are_503(
    tmp_path: Path, state: ViewState | None
) -> None:
    view = None
    if state is not None:
        view = await filled_view({"a": (1, 1)})
        view.become(state)
    caller = caller_for(tmp_path, view)
    for target in (f"{PIPE}.json", "/v0/devices/a"):
        answer = await caller.get(target)
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0


async def large_view() -> FedView:
    totals = {f"device_{n}": (n * 7 % 5_003, 1) for n in range(5_000)}
    return await filled_view(totals, {"device_10": (Decimal("0.5"), 1)})


async def test_a_long_listing_is_streamed_in_pieces(tmp_path: Path) -> None:
    caller = caller_for(tmp_path, await large_view())
    answer = await caller.get(PIPE)
    assert answer.pieces >= 5
    assert len(rows(answer)) == 5_000
    assert ids(answer) == sorted(f"device_{n}" for n in range(5_000))
    assert dict(rows(answer))["device_10"] == 70.5


@pytest.mark.parametrize(
    "order", ["device_id", "-device_id", "total_energy_consumed", "-total_energy_consumed"]
)
async def test_pages_of_any_order_add_up_to_the_whole(tmp_path: Path, order: str) -> None:
    caller = caller_for(tmp_path, await large_view())
    whole = rows(await caller.get(f"{PIPE}?order_by={order}"))
    pages = []
    for offset in range(0, 5_500, 700):
        page = await caller.get(f"{PIPE}?order_by={order}&limit=700&offset={offset}")
        pages += rows(page)
    assert pages == whole
    column = 1 if "total" in order else 0
    values = [row[column] for row in whole]
    assert values == sorted(values, reverse=order.startswith("-"))  # type: ignore[type-var]


async def test_head_has_the_headers_alone(caller: Caller) -> None:
    for target in (PIPE, "/v0/devices/a", "/health"):
        assert (await caller.request("HEAD", target)).status == 200


async def test_a_streamed_head_leaves_the_view_free(tmp_path: Path) -> None:
    view = await large_view()
    caller = caller_for(tmp_path, view)
    answer = await caller.request("HEAD", PIPE)
    assert (answer.status, answer.body) == (200, b"")
    assert view.copy._copy._snapshots == 0  # type: ignore[union-attr]


async def test_a_total_with_a_fraction_is_a_number_of_its_own(tmp_path: Path) -> None:
    totals = {
        "a": (Decimal("1e-30"), 1),
        "b": (10**20, 1),
        "c": (Decimal("0.10000000000000001"), 1),
    }
    caller = caller_for(tmp_path, await filled_view(totals))
    answer = await caller.get(PIPE)
    assert rows(answer) == [("a", 1e-30), ("b", 1e20), ("c", 0.1)]
    assert json.loads(answer.body)["data"][1]["total_energy_consumed"] == 1e20


async def test_the_first_by_total_are_kept_and_follow_the_transactions(tmp_path: Path) -> None:
    view = await large_view()
    caller = caller_for(tmp_path, view)
    target = f"{PIPE}?order_by=-total_energy_consumed&limit=2"
    assert rows(await caller.get(target)) == [("device_2144", 5_002), ("device_4288", 5_001)]
    change = transaction({"device_1": (10**6, 2), "device_2144": (-1, 2)}, 10)
    await view.apply(changelog_chunk(change, start=9))
    answer = await caller.get(target)
    assert rows(answer) == [("device_1", 10**6), ("device_4288", 5_001)]
    assert answer.json()["statistics"]["rows_read"] == 2
    assert answer.json()["rows_before_limit_at_least"] == 5_000
    lowest = await caller.get(f"{PIPE}?order_by=total_energy_consumed&limit=1")
    assert rows(lowest) == [("device_2144", -1)]
