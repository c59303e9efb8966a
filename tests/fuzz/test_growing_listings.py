"""Whole listings while devices appear: each device of the beginning is in them exactly once.

FUZZ_LISTINGS times in each of the six formats and in turn by each order; `make fuzz` asks for
50 times, of 100,000 devices while 10,000 appear.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from collections import Counter
from pathlib import Path

import pyarrow.parquet
import pytest

from api.view.totals_view import TotalsView
from tests.api_doubles import Answer, caller_for, changelog_chunk, filled_view, transaction

PIPE = "/v0/pipes/energy_consumption_by_device"
ROUNDS = int(os.environ.get("FUZZ_LISTINGS", "1"))
DEVICES = 100_000 if ROUNDS > 1 else 10_000
APPEARING = DEVICES // 10
ORDERS = ("device_id", "-device_id", "total_energy_consumed", "-total_energy_consumed")
#: Devices of a transaction: all have appeared within a few turns of the event loop.
AT_ONCE = APPEARING // 5


def ids_of(extension: str, body: bytes) -> list[str]:
    if extension == "parquet":
        return pyarrow.parquet.read_table(io.BytesIO(body))["device_id"].to_pylist()
    text = body.decode()
    if extension == "json":
        content = json.loads(text)
        assert content["rows"] == content["rows_before_limit_at_least"] == len(content["data"])
        return [row["device_id"] for row in content["data"]]
    if extension == "ndjson":
        return [json.loads(line)["device_id"] for line in text.splitlines()]
    if extension == "prometheus":
        return [line.split('"')[1] for line in text.splitlines() if not line.startswith("#")]
    rows = list(csv.reader(io.StringIO(text)))
    return [row[0] for row in (rows[1:] if extension == "csvwithnames" else rows)]


async def appear(
    view: TotalsView, known: set[str], turn: int, answering: asyncio.Task[Answer]
) -> int:
    """Let new devices appear all over the order; returns in how many transactions meanwhile."""
    meanwhile = 0
    for begin in range(0, APPEARING, AT_ONCE):
        names = {f"d{place * 10:08}-{turn}" for place in range(begin, begin + AT_ONCE)}
        change = {name: (len(known) % 97, 1) for name in names} | {f"d{begin:08}": (turn, turn)}
        offset = view.applied_offsets()[0] + 1
        await view.apply(changelog_chunk(transaction(change, offset), start=offset * 1_000))
        known |= names
        await asyncio.sleep(0)
        meanwhile += not answering.done()
    return meanwhile


@pytest.mark.parametrize("turn", range(1, ROUNDS + 1))
@pytest.mark.parametrize(
    "extension", ["json", "csv", "csvwithnames", "ndjson", "parquet", "prometheus"]
)
async def test_b2_each_device_of_the_beginning_is_there_once(
    tmp_path: Path, extension: str, turn: int
) -> None:
    beginning = [f"d{place:08}" for place in range(DEVICES)]
    view = await filled_view({name: (place % 89, 1) for place, name in enumerate(beginning)})
    caller = caller_for(tmp_path, view)
    known = set(beginning)
    order = ORDERS[turn % len(ORDERS)]
    answering = asyncio.create_task(caller.get(f"{PIPE}.{extension}?order_by={order}"))
    await asyncio.sleep(0)
    assert await appear(view, known, turn, answering), "none appeared while it was being made"
    found = Counter(ids_of(extension, (await answering).body))
    assert [each for each in beginning if found[each] != 1] == []
    assert max(found.values()) == 1
    assert found.keys() <= known
    assert view.devices == len(known) == DEVICES + APPEARING
