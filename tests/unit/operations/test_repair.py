"""What becomes of a quarantined value: the fields that are set, all others as received."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from contract.errors import InvalidReading, SettingError
from operations.quarantine.repair import Repaired, read_changes, repair
from operations.quarantine.rows import QuarantinedRow
from tests.quarantine_double import quarantine_value

FOUR = ["timestamp=2025-04-30 10:11:21", "device_id=d", "energy_consumed=1", "location="]

TOPIC_IDS = {"energy_consumption": "r1", "energy_consumption_quarantine": "q1"}


def row(value: bytes | None, **columns: Any) -> QuarantinedRow:
    """A quarantine row that holds the value as the contract says."""
    if value is not None:
        try:
            columns["__value"] = value.decode()
        except UnicodeDecodeError:
            columns["__value_base64"] = b64encode(value).decode()
    return QuarantinedRow(3, 9, 0, json.loads(quarantine_value(**columns)), TOPIC_IDS)


def mended(value: bytes | None, *changes: str) -> Repaired | str:
    result = repair(row(value), read_changes(changes))
    return str(result) if isinstance(result, InvalidReading) else result


def test_what_is_not_set_stays_as_it_was_written() -> None:
    value = (
        b'{"timestamp": "2025-04-30 10:11:21", "device_id": "d\\u0065v",'
        b' "energy_consumed": 0.10000000000000000000000001, "location": 5, "more": [1.0, "x"]}'
    )
    found = mended(value, "location=Attic")
    assert isinstance(found, Repaired)
    assert found.key == b"dev"
    assert b'"energy_consumed":0.10000000000000000000000001' in found.value
    assert json.loads(found.value) == json.loads(value) | {"location": "Attic"}
    assert mended(value, "energy_consumed=3") == "location: not a string"


def test_a_value_that_is_no_object_needs_all_four_fields() -> None:
    for value in (None, b"", b"\xff\xfe", b"[1]", b"{" * 1000, b'{"a":' * 100_000, b"a;b"):
        found = mended(value, *FOUR)
        assert isinstance(found, Repaired)
        assert json.loads(found.value)["energy_consumed"] == 1
        assert mended(value, *FOUR[:3]) == "location: missing"


def test_without_changes_the_value_is_judged_as_it_is() -> None:
    good = b'{"timestamp":"2025-04-30 10:11:21","device_id":"d","energy_consumed":1,"location":""}'
    found = mended(good)
    assert isinstance(found, Repaired)
    assert found.value == good
    assert mended(good[:-1]).startswith("value: not JSON")  # type: ignore[union-attr]
    # An ignored field that nobody may send is not dropped on the way.
    deep = good[:-1] + b',"x":' + b"[" * 70 + b"]" * 70 + b"}"
    assert mended(deep, *FOUR) == "value: nested deeper than 64 levels"


def test_a_value_that_was_cut_is_never_mended() -> None:
    cut = row(b"{}", __value_length=70_000, __value_sha256="0")
    assert "first 65536 bytes" in str(repair(cut, read_changes(FOUR)))


def test_of_a_name_written_twice_the_one_that_is_set_counts() -> None:
    value = b'{"location":1,"location":2,"timestamp":"2025-04-30 10:11:21","device_id":"d",'
    found = mended(value + b'"energy_consumed":"7"}', "location=x")
    assert isinstance(found, Repaired)
    assert found.value.count(b"location") == 1


@pytest.mark.parametrize(
    "text",
    ["location", "place=x", "device_id=", "energy_consumed=1_0", "timestamp=2025-02-30 10:11:21"],
)
def test_a_change_that_could_never_be_valid_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="--set"):
        read_changes([text])
    with pytest.raises(SettingError, match="twice"):
        read_changes(["location=a", "location=b"])


def test_a_row_is_marked_by_the_id_of_the_topic_it_was_refused_in() -> None:
    refused = row(b"x", __topic="energy_consumption", __partition=1, __offset=87)
    assert (refused.origin, refused.mark) == ("energy_consumption/1/87", "r1/1/87")
    again = refused._replace(topic_ids=TOPIC_IDS | {"energy_consumption": "r2"})
    assert (again.origin, again.mark) == ("energy_consumption/1/87", "r2/1/87")
    on_the_way = row(b"x", __topic=None, __partition=None, __offset=None)
    assert on_the_way.origin == "energy_consumption_quarantine/3/9"
    assert on_the_way.mark == "q1/3/9"


def test_a_field_its_sender_may_not_write_has_to_be_set() -> None:
    value = b'{"timestamp":"2025-04-30 10:11:21","device_id":"d","energy_consumed":1,"location":5}'
    faults = {
        "c__error_column": ["location", "device_id"],
        "c__error": ["not a string", "the token may not write for this device"],
    }
    forbidden = row(value, **faults)
    found = repair(forbidden, read_changes(["location=Attic"]))
    assert str(found) == "device_id: the token may not write for this device"
    found = repair(forbidden, read_changes(["location=Attic", "device_id=d"]))
    assert isinstance(found, Repaired)
    assert found.key == b"d"
