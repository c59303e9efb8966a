"""What a token of devices or places reads: its own rows, and no trace of any other."""

import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow.parquet as pq
import pytest

from api.auth.bounds import Bounds
from api.view.totals_view import TotalsView
from contract.settings import TOKENS_NAME
from tests.api_doubles import Answer, Caller, caller_for, filled_view
from tests.quarantine_double import MemoryLog, quarantine_record, quarantine_value
from tests.records import HandmadeRecord
from tests.series_double import MemorySeries, MemorySource, Sample
from tests.unit.api.test_bound_tokens import decisions
from tests.unit.api.test_routes import operations

BY_DEVICE = "/v0/pipes/energy_consumption_by_device"
BY_LOCATION = "/v0/pipes/energy_consumption_by_location"
OVER_TIME = "/v0/pipes/energy_consumption_over_time"
SUMS = (BY_DEVICE, BY_LOCATION, OVER_TIME)
#: Routes that read nothing, or whose answer has no end: tests of their own see what is in it.
NO_ANSWERS = ("/v0/events", "/stream")
QUARANTINE = "/v0/pipes/energy_consumption_quarantine.json"
NOT_PERMITTED = "the token may not write for this device"

FIGURES = random.Random(7)
#: What each device has at each place: names and figures that occur nowhere else.
CELLS = {
    (f"dev-{name}", place): FIGURES.randrange(10**8, 9 * 10**8)
    for name in (
        "alpha",
        "bravo",
        "comma,charlie",
        "delta",
        "echo/1",
        "fox trot",
        "h\N{SNOWMAN}tel",
    )
    for place in ("Place-own", "Place-north", "Place-south")
}
CELLS["dev-elsewhere", "Place-north"] = 1_000_000_007
FLEET = {
    device: (
        sum(each for (name, _), each in CELLS.items() if name == device),
        5_000_000_011 + 137_000_003 * number,
    )
    for number, device in enumerate(dict.fromkeys(device for device, _ in CELLS))
}
OWN = ("dev-bravo", "dev-comma,charlie", "dev-h\N{SNOWMAN}tel")
BOUNDS = Bounds(devices=frozenset({*OWN, "dev-unknown"}))
PLACES = Bounds(locations=frozenset({"Place-own", "Place-unknown"}))
BOTH = Bounds(BOUNDS.devices, PLACES.locations)
DAYS = ("2025-04-30", "2025-05-01", "2025-05-02", "2025-06-01")


async def fleet() -> TotalsView:
    """All devices, every second one in two partitions."""
    first, second = {}, {}
    for number, (device, (total, readings)) in enumerate(FLEET.items()):
        part = 5_000_000 if number % 2 else 0
        first[device] = (total - part, readings - (100 if part else 0))
        if part:
            second[device] = (part, 100)
    return await filled_view(first, second)


def series() -> MemorySource:
    """The same totals: a reading for each device and place."""
    begin = 1_745_971_200  # 2025-04-30
    return MemorySource(
        MemorySeries(
            [
                Sample(*cell, begin + 7_200 * at, each)
                for at, (cell, each) in enumerate(CELLS.items())
            ]
        )
    )


def refused(device: str | None, *faults: tuple[str, str], location: str | None = None) -> bytes:
    location = location or ("Place-north" if device == "dev-elsewhere" else "Place-own")
    return quarantine_value(
        device_id=device,
        location=location,
        c__error_column=[column for column, _ in faults],
        c__error=[reason for _, reason in faults],
        __value=f"raw of {device} at {location}",
        __key=device,
    )


BAD_NUMBER = ("energy_consumed", "not a number")
#: What can be told of each record: None where its device is not readable.
REFUSED: list[tuple[str | None, bytes]] = [
    *((device, refused(device, BAD_NUMBER)) for device in FLEET),
    *((device, refused(device, ("device_id", NOT_PERMITTED))) for device in FLEET),
    (None, refused(None, ("", "not JSON: truncated"))),
    # The number is not the device of this name.
    *((None, refused(device, ("device_id", "not a string"))) for device in FLEET),
    (None, json.dumps({"device_id": ["dev-bravo"]}).encode()),
    (None, json.dumps({"device_id": "dev-bravo", "c__error": 5}).encode()),
]


def quarantine() -> MemoryLog:
    """The records above often and in disorder, some of another view version."""
    shuffled = REFUSED * 12
    random.Random(3).shuffle(shuffled)
    partitions: dict[int, list[HandmadeRecord]] = {0: [], 1: [], 2: []}
    for at, (_, value) in enumerate(shuffled):
        record = quarantine_record(at * 2, 1_000 + at, (None, 1, 2)[at % 7 % 3], value)
        partitions[at % 3].append(record)
    return MemoryLog(partitions)


async def caller_of(home: Path, bounds: Bounds | None) -> Caller:
    return caller_for(home, await fleet(), quarantine=quarantine(), bounds=bounds, series=series())


def own(bounds: Bounds) -> dict[tuple[str, str], int]:
    """The token's cells."""
    return {cell: each for cell, each in CELLS.items() if not bounds.faults(*cell)}


def traces(of: Answer) -> str:
    """All that an answer tells: headers, and the body, also as it is read."""
    text = str(of.headers) + of.body.decode("utf-8", "replace")
    if of.body.startswith(b"PAR1"):
        file = pq.ParquetFile(io.BytesIO(of.body))
        text += str(file.read().to_pylist()) + str(file.metadata)
        text += str(
            [file.metadata.row_group(n).column(0).statistics for n in range(file.num_row_groups)]
        )
    return text


def others(bounds: Bounds) -> Iterator[str]:
    """Names that are not the token's, and figures that have something of others in them."""
    mine = own(bounds)
    for place, names in ((0, FLEET), (1, ("Place-own", "Place-north", "Place-south"))):
        for name in names:
            cells = {cell: each for cell, each in CELLS.items() if cell[place] == name}
            if not cells.keys() & mine.keys():
                yield from (name, quote(name, safe=""))
            if not cells.keys() <= mine.keys():
                yield from figures(sum(cells.values()))
    for cell in CELLS.keys() - mine.keys():
        yield from figures(CELLS[cell])
    for device, (total, readings) in FLEET.items():
        if bounds.locations or not bounds.allows_device(device):
            yield from (str(total - 5_000_000), str(readings), str(readings - 100))
    yield from figures(sum(CELLS.values()))
    yield str(sum(readings for _, readings in FLEET.values()))


def figures(total: int) -> tuple[str, ...]:
    return str(total), f"{total:e}"


def questions(name: tuple[str, str], dice: random.Random) -> str:
    """Values for some of the parameters that the document says there are."""
    asked: list[tuple[str, Any]] = []
    for each in operations()[name].get("parameters", []):
        schema = each["schema"]
        if each["in"] != "query" or not (each.get("required") or dice.random() < 0.5):
            continue
        if each["name"] in ("device_id", "location"):
            names = [cell[each["name"] == "location"] for cell in CELLS]
            asked += [(each["name"], dice.choice(names)) for _ in range(dice.randint(1, 4))]
        elif each["name"] in ("start", "end"):
            asked.append((each["name"], dice.choice(DAYS)))
        elif "enum" in schema:
            asked.append((each["name"], dice.choice(schema["enum"])))
        elif schema.get("type") == "integer":
            asked.append((each["name"], dice.randint(0, 9)))
        elif "examples" in schema:
            asked.append((each["name"], dice.choice(schema["examples"])))
    return urlencode(asked)


@pytest.mark.parametrize("bounds", [BOUNDS, PLACES, BOTH], ids=["devices", "places", "both"])
@pytest.mark.parametrize(
    "name", [each for each in decisions() if not each[1].endswith(NO_ANSWERS)], ids=" ".join
)
async def test_no_answer_has_a_trace_of_others(
    tmp_path: Path, name: tuple[str, str], bounds: Bounds
) -> None:
    caller = await caller_of(tmp_path, bounds)
    method, path = name
    dice = random.Random(5)
    is_of_sums = path.startswith(("/v0/devices/", *SUMS)) and "403" not in decisions()[name]
    mine = [*own(bounds).values(), sum(own(bounds).values())]
    served = found = 0
    for turn in range(16):
        # The first question is the plain one: all there is, or a device of its own.
        query = questions(name, dice) if turn else ""
        device = dice.choice([*FLEET]) if turn else OWN[0]
        target = path.replace("{device_id}", quote(device, safe=""))
        body, headers = b"", {}
        if method == "POST" and path.startswith("/v0/pipes/"):
            body = questions(("GET", path), dice).encode() if turn else b""
            headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await caller.request(method, f"{target}?{query}", body=body, headers=headers)
        told = traces(answer)
        if answer.status == 200:
            served += 1
            found += any(str(each) in told for each in mine)
            for text in others(bounds):
                assert text not in told, (target, query, body, text)
        else:
            # What the request itself names comes back where it is refused; figures do not.
            assert answer.status in (400, 403, 404), answer.body
            assert not [each for each in others(bounds) if each.isdigit() and each in told]
    if path.endswith(SUMS) or is_of_sums:
        assert served > 2
        # A token of devices has whole totals in its listings, of which a cell is no part.
        assert found or bounds is BOUNDS


async def test_sums_are_of_its_own_rows_alone(tmp_path: Path) -> None:
    for number, bounds in enumerate((BOUNDS, PLACES, BOTH)):
        caller = await caller_of(tmp_path / str(number), bounds)
        mine = own(bounds)
        whole = (await caller.get(f"{OVER_TIME}?interval=year")).json()
        assert [each["total_energy_consumed"] for each in whole["data"]] == [sum(mine.values())]
        assert whole["data"][0]["readings"] == len(mine)
        grouped = (
            await caller.get(f"{OVER_TIME}?interval=year&group_by=device_id,location")
        ).json()
        assert {
            (each["device_id"], each["location"]): each["total_energy_consumed"]
            for each in grouped["data"]
        } == mine
        places = (await caller.get(BY_LOCATION)).json()
        assert places["rows_before_limit_at_least"] == len({place for _, place in mine})
        for each in places["data"]:
            there = [energy for (_, place), energy in mine.items() if place == each["location"]]
            assert (each["total_energy_consumed"], each["devices"]) == (sum(there), len(there))
        devices = (await caller.get(f"{BY_DEVICE}?order_by=-total_energy_consumed")).json()
        assert devices["rows_before_limit_at_least"] == len({device for device, _ in mine})
        assert devices["statistics"]["rows_read"] == len({device for device, _ in mine})
        for each in [*devices["data"], {"device_id": "dev-elsewhere"}]:
            name = each["device_id"]
            energies = [energy for (device, _), energy in mine.items() if device == name]
            assert each.get("total_energy_consumed", 0) == sum(energies)
            one = await caller.get(f"/v0/devices/{quote(name, safe='')}")
            assert one.status == (200 if energies else 404)
            if energies:
                assert one.json()["total_energy_consumed"] == sum(energies)
                assert one.json()["total_energy_consumed_exact"] == str(sum(energies))
                assert {
                    each["location"]: each["total_energy_consumed"]
                    for each in one.json()["locations"]
                } == {place: each for (device, place), each in mine.items() if device == name}


async def test_another_device_is_answered_as_an_unknown_one(tmp_path: Path) -> None:
    caller = await caller_of(tmp_path, BOUNDS)
    for device, figures in FLEET.items():
        answer = await caller.get(f"/v0/devices/{quote(device, safe='')}")
        if device in OWN:
            told = answer.json()
            assert (told["total_energy_consumed"], told["readings"]) == figures
        else:
            unknown = await caller.get(f"/v0/devices/{quote('x' + device, safe='')}")
            assert answer.status == unknown.status == 404
            assert answer.error == unknown.error.replace("'x", "'")
            assert answer.headers.keys() == unknown.headers.keys()


def row(device: str) -> dict[str, Any]:
    return {"device_id": device, "total_energy_consumed": FLEET[device][0]}


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", ["device_id", "total_energy_consumed"])
async def test_listings_have_its_own_devices_on_every_page(
    tmp_path: Path, order: str, *, descending: bool
) -> None:
    caller = await caller_of(tmp_path, BOUNDS)
    own = sorted(map(row, OWN), key=lambda each: each[order], reverse=descending)
    order = f"{'-' if descending else ''}{order}"
    whole = (await caller.get(f"{BY_DEVICE}?order_by={order}")).json()
    assert whole["data"] == own
    assert whole["rows"] == whole["rows_before_limit_at_least"] == len(OWN)
    assert whole["statistics"]["rows_read"] == len(OWN)
    for offset in range(5):
        page = (await caller.get(f"{BY_DEVICE}?order_by={order}&limit=1&offset={offset}")).json()
        assert page["data"] == own[offset : offset + 1]
        assert page["rows_before_limit_at_least"] == len(OWN)
    some = await caller.get(f"{BY_DEVICE}?order_by={order}&device_id=dev-alpha&device_id=dev-bravo")
    assert some.json()["data"] == [row("dev-bravo")]
    none = (await caller.get(f"{BY_DEVICE}?order_by={order}&device_id=dev-alpha")).json()
    assert (none["data"], none["rows_before_limit_at_least"]) == ([], 0)


async def test_an_etag_is_of_one_set_of_bounds(tmp_path: Path) -> None:
    caller = await caller_of(tmp_path, BOUNDS)
    store = caller.services.tokens
    tags = {}
    sets = (BOUNDS, Bounds(frozenset(OWN)), Bounds(frozenset({"dev-alpha"})), PLACES, BOTH, None)
    for number, bounds in enumerate(sets):
        caller.token = store.create(f"t{number}", ["ADMIN"], None, bounds)
        answer = await caller.get(BY_DEVICE)
        tag = answer.headers["etag"]
        assert (await caller.get(BY_DEVICE, if_none_match=tag)).status == 304
        for other in tags.values():
            assert (await caller.get(BY_DEVICE, if_none_match=other)).status == 200
        tags[number] = tag
    assert len(set(tags.values())) == len(sets)
    caller.token = store.create("as the first", ["ADMIN"], None, BOUNDS)
    assert (await caller.get(BY_DEVICE)).headers["etag"] == tags[0]


async def test_the_quarantine_has_its_own_rows_on_every_page(tmp_path: Path) -> None:
    caller = await caller_of(tmp_path, BOUNDS)
    free = Caller(caller.app, caller.services.tokens.create("free", ["ADMIN"]))
    readable = {value for device, value in REFUSED if device in OWN}
    expected = [
        each
        for each in (await free.get(QUARANTINE)).json()["data"]
        if json.dumps(each).encode() in readable
    ]
    whole = (await caller.get(QUARANTINE)).json()
    assert len(expected) > 20
    assert whole["data"] == expected
    assert whole["rows"] == whole["rows_before_limit_at_least"] == len(expected)
    assert whole["statistics"]["rows_read"] == len(expected)
    paged = []
    for offset in range(0, len(expected) + 7, 7):
        page = (await caller.get(f"{QUARANTINE}?limit=7&offset={offset}")).json()
        assert page["rows_before_limit_at_least"] <= len(expected)
        paged += page["data"]
    assert paged == expected


async def test_a_token_of_places_has_the_refused_rows_of_its_places(tmp_path: Path) -> None:
    values = [
        refused("a", BAD_NUMBER),
        refused("a", BAD_NUMBER, location="Place-other"),
        refused("a", ("location", "not a string")),
        refused("b", BAD_NUMBER),
    ]
    log = MemoryLog({0: [quarantine_record(n, n, None, value) for n, value in enumerate(values)]})
    caller = caller_for(tmp_path, await fleet(), quarantine=log, bounds=PLACES)
    rows = (await caller.get(QUARANTINE)).json()["data"]
    assert [each["device_id"] for each in rows] == ["b", "a"]
    both = Bounds(frozenset({"a"}), PLACES.locations)
    caller.token = caller.services.tokens.create("both", ["ADMIN"], None, both)
    rows = (await caller.get(QUARANTINE)).json()["data"]
    assert [(each["device_id"], each["location"]) for each in rows] == [("a", "Place-own")]


@pytest.mark.parametrize("bounds", [PLACES, BOTH])
async def test_totals_that_know_no_places_are_not_for_a_token_of_places(
    tmp_path: Path, bounds: Bounds
) -> None:
    caller = caller_for(tmp_path, await fleet(), bounds=bounds)
    targets = ["/v0/devices/dev-bravo", "/v0/devices/dev-alpha", BY_DEVICE, f"{BY_DEVICE}.csv"]
    for target in targets:
        answer = await caller.get(target)
        assert answer.status == 404
        assert "the token is limited to places, and view version 1 has totals only" in answer.error
        assert "etag" not in answer.headers
    assert (await caller.post(BY_DEVICE, b"")).status == 404


async def test_new_bounds_under_an_old_name_are_in_force_at_once(tmp_path: Path) -> None:
    caller = await caller_of(tmp_path, BOUNDS)
    before = (await caller.get(QUARANTINE)).json()
    store = caller.services.tokens
    assert (caller.services.settings.home / TOKENS_NAME).exists()
    store.revoke("test")
    caller.token = store.create("test", ["ADMIN"], None, Bounds(frozenset({"dev-alpha"})))
    assert (await caller.get(BY_DEVICE)).json()["data"] == [row("dev-alpha")]
    after = (await caller.get(QUARANTINE)).json()
    assert {each["device_id"] for each in after["data"]} == {"dev-alpha"}
    assert before["data"] != after["data"]
