"""The bytes of our topics, as they are on brokers already; docs/CHANGELOG_FORMAT.md shows them."""

import hashlib
import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from contract import before_rows, changelog, device_totals, hour_rows, topics, view_versions
from contract.changelog import BIRTH_KEY, MARKER_KEY, Birth, Marker, RolledUp
from contract.decoding import validate
from contract.device_totals import DEVICE_TOTALS
from contract.errors import CorruptRecord, InvalidReading
from contract.hour_rows import HourKey
from contract.import_positions import (
    Position,
    decode_position,
    encode_position,
    import_prefix,
    import_transactional_id,
)
from contract.key_notes import KeyNote, decode_note, encode_note, record_key
from contract.quarantine import (
    VIEW_VERSION_HEADER,
    ImportedRow,
    Origin,
    decode_quarantined,
    encode_quarantined,
)
from contract.view_versions import Views, ViewVersion
from tests import series_rows
from tests.series_rows import Hour, Quarter

DOCUMENT = Path(__file__).parents[3] / "docs" / "CHANGELOG_FORMAT.md"
AT = datetime(2025, 4, 30, 10, 11, 21, tzinfo=UTC)

MARKER = b'{"applied_offset":1233,"counted":1200,"quarantined":4,"newest_ms":1745999481000,"v":1}'
MARKER_2 = (
    b'{"applied_offset":1233,"counted":1200,"quarantined":4,"newest_ms":1745999481000,'
    b'"previous":1200,"writer":[4000,3],"checksum":3735928559,"leader_epoch":7,"v":2}'
)
MARKER_3 = (
    b'{"applied_offset":1233,"counted":1200,"quarantined":4,"newest_ms":1745999481000,'
    b'"previous":1233,"writer":[4000,3],"checksum":3735928559,"leader_epoch":7,"v":3,'
    b'"rolled_up":{"cutoff":485160,"rows":12}}'
)
MARKER_OF_A_BIRTH = (
    b'{"applied_offset":-1,"counted":0,"quarantined":0,"newest_ms":-1,'
    b'"previous":null,"writer":null,"checksum":null,"leader_epoch":null,"v":2}'
)
BIRTH = (
    b'{"cluster_id":"abc","source_topic":"energy_consumption","source_topic_id":"s1",'
    b'"changelog_topic_id":"c1","start_offset":0,"rules_id":"1","v":1}'
)
TOTALS = {
    b"1 3 3106278102.75": (Decimal("3106278102.750"), 3),
    b"1 2 -0.5": (Decimal("-5E-1"), 2),
    b"1 1 0": (Decimal("-0.00"), 1),
    b"1 7 2" + b"0" * 308: (Decimal("2E+308"), 7),
    b"1 12 18446744073709551616": (2**64, 12),
}
POINTER = (b"live", b'{"view_version":2,"v":1}')
VERSION = (
    b"version/2",
    b'{"view_version":2,"state":"building","partitions":4,"rules_id":"1","v":1}',
)
HOUR_KEY = b"device_7\x000485170\x00Living Room"
HOUR = b"1 15 2790 2 250 0 0 1 -0.5"
BEFORE_KEY = b"device_7\x00-------\x00Living Room"
BEFORE = b"1 1745999481 1746003071 3 249.5"
POSITION = (
    b"load/2e1c5f/0",
    b'{"next_position":1048576,"readings":8192,"quarantined":3,"owner":"f00d",'
    b'"note":{"line":8196},"v":1}',
)
QUARANTINED = (
    b'{"timestamp":"2025-02-30 10:11:21","device_id":"device_7","energy_consumed":"1.50",'
    b'"location":null,"c__error_column":["timestamp","location"],'
    b'"c__error":["not a real date and time","missing"],"c__import_id":null,'
    b'"insertion_date":"2025-04-30 10:11:21","__topic":"energy_consumption","__partition":1,'
    b'"__offset":87,"__timestamp":1745999481000,"__key":"device_7","__key_base64":null,'
    b'"__value":"{\\"timestamp\\": \\"2025-02-30 10:11:21\\", \\"device_id\\": \\"device_7\\", '
    b'\\"energy_consumed\\": 1.50}","__value_base64":null}'
)
NOT_TEXT = (
    b'{"timestamp":null,"device_id":null,"energy_consumed":null,"location":null,'
    b'"c__error_column":[""],"c__error":["not UTF-8 at byte 0"],"c__import_id":null,'
    b'"insertion_date":"2025-04-30 10:11:21","__topic":"energy_consumption","__partition":0,'
    b'"__offset":0,"__timestamp":-1,"__key":null,"__key_base64":"/w==","__value":null,'
    b'"__value_base64":"//4="}'
)
IMPORTED = (
    b'{"timestamp":null,"device_id":null,"energy_consumed":null,"location":null,'
    b'"c__error_column":[""],"c__error":["empty"],"c__import_id":"i-1",'
    b'"insertion_date":"2025-04-30 10:11:21","__topic":null,"__partition":null,"__offset":null,'
    b'"__timestamp":null,"__file":"readings.ndjson.gz","__line":12,"__key":null,'
    b'"__key_base64":null,"__value":"","__value_base64":null}'
)


def quarantined(
    value: bytes | None, origin: Origin | ImportedRow | None = None, at: datetime = AT
) -> bytes:
    with pytest.raises(InvalidReading) as caught:
        validate(value)
    origin = origin or Origin(topics.READINGS.name, 0, 0, -1, None)
    return encode_quarantined(value, caught.value, origin, at)


def test_marker_and_birth_have_their_golden_bytes():
    marker = Marker(1233, 1200, 4, 1_745_999_481_000, 1200, (4_000, 3), 3_735_928_559, 7)
    birth = Birth("abc", "energy_consumption", "s1", "c1", 0, "1")
    assert (MARKER_KEY, changelog.encode_marker(marker)) == (b"\x00applied", MARKER_2)
    assert (BIRTH_KEY, changelog.encode_birth(birth)) == (b"\x00birth", BIRTH)
    assert changelog.decode_marker(MARKER_2) == marker
    assert changelog.encode_marker(Marker(-1)) == MARKER_OF_A_BIRTH
    assert changelog.decode_birth(BIRTH) == birth


def test_a_marker_says_what_is_rolled_up_in_version_3():
    marker = Marker(
        1233,
        1200,
        4,
        1_745_999_481_000,
        1233,
        (4_000, 3),
        3_735_928_559,
        7,
        v=3,
        rolled_up=RolledUp(485_160, 12),
    )
    assert changelog.encode_marker(marker) == MARKER_3
    assert changelog.decode_marker(MARKER_3) == marker
    assert marker.cutoff == 485_160
    assert Marker(-1).cutoff == 0
    # Whoever signs it keeps the cutoff.
    signed = changelog.decode_marker(changelog.encode_marker(marker.signed_by((4_001, 0))))
    assert (signed.cutoff, signed.writer) == (485_160, (4_001, 0))


def test_a_marker_of_version_1_is_read_forever():
    found = changelog.decode_marker(MARKER)
    assert found == Marker(1233, 1200, 4, 1_745_999_481_000, v=1)
    assert (found.previous, found.writer, found.checksum, found.leader_epoch) == (None,) * 4


def test_c13_a_build_that_knows_version_1_only_refuses_a_marker_of_version_2():
    class Marker1(msgspec.Struct):
        """As every build before version 2 declares it."""

        applied_offset: int
        v: Literal[1] = 1

    assert msgspec.json.decode(MARKER, type=Marker1, strict=True).applied_offset == 1233
    with pytest.raises(msgspec.ValidationError, match=r"\$\.v"):
        msgspec.json.decode(MARKER_2, type=Marker1, strict=True)


@pytest.mark.parametrize(("golden", "total"), TOTALS.items())
def test_part_totals_have_their_golden_bytes(golden: bytes, total: tuple[Any, int]):
    assert device_totals.encode_total(*total) == golden
    assert device_totals.decode_total(golden) == total


@pytest.mark.parametrize(
    "value", [b"", b"1", b"1 2", b"2 1 5", b"1 x 5", b"1 1 x", b"1 1 5 ", b"1 1 NaN", b"\xff 1 5"]
)
def test_a_part_total_that_is_not_ours_is_corrupt(value: bytes):
    with pytest.raises(CorruptRecord, match="part-total"):
        device_totals.decode_total(value)


@pytest.mark.parametrize("value", [b"", b"{}", b"5", MARKER.replace(b'"v":1', b'"v":4'), b"\xff"])
def test_a_marker_or_birth_that_is_not_ours_is_corrupt(value: bytes):
    with pytest.raises(CorruptRecord, match="marker"):
        changelog.decode_marker(value)
    with pytest.raises(CorruptRecord, match="birth"):
        changelog.decode_birth(value)


def test_an_hour_of_the_series_has_its_golden_bytes():
    key = HourKey("device_7", 485_170, "Living Room")
    assert hour_rows.encode_key(key) == HOUR_KEY
    assert hour_rows.decode_key(HOUR_KEY) == key
    none = Quarter(0, 0)
    hour = Hour(15, 2_790, (Quarter(250, 2), none, none, Quarter(Decimal("-0.5"), 1)))
    assert series_rows.encode_hour(hour) == HOUR
    assert series_rows.decode_hour(HOUR) == hour
    assert series_rows.is_hour(HOUR)


@pytest.mark.parametrize(
    "value",
    [b"1 15 2790 2 250 0 0", b"2 15 2790 2 250 0 0 0", b"1 15 2790 2 0250 0 0 0", b"1 3 0.5"],
)
def test_another_value_is_no_hour(value: bytes):
    assert not series_rows.is_hour(value)


def test_what_is_before_has_its_golden_bytes():
    key = HourKey("device_7", hour_rows.BEFORE, "Living Room")
    assert hour_rows.encode_key(key) == BEFORE_KEY == before_rows.key_before(HOUR_KEY)
    assert hour_rows.decode_key(BEFORE_KEY) == key
    assert sorted([HOUR_KEY, BEFORE_KEY]) == [BEFORE_KEY, HOUR_KEY]
    row = before_rows.Before(1_745_999_481, 1_746_003_071, 3, Decimal("249.5"))
    assert before_rows.encode_before(row) == BEFORE
    assert before_rows.decode_before(BEFORE) == row
    assert before_rows.is_row(BEFORE)
    assert before_rows.is_row(HOUR)


@pytest.mark.parametrize(
    "value",
    [b"1 5 6 0 0", b"1 5 6 1", b"2 5 6 1 1", b"1 05 6 1 1", b"1 5 6 1 -0", b"1 5 6 1 1 ", b""],
)
def test_another_value_is_not_what_is_before(value: bytes):
    assert not before_rows.is_row(value)


@pytest.mark.parametrize("value", [b"1 5 6 1", b"2 5 6 1 1", b"1 5 6 1 x", b"1 x 6 1 1"])
def test_what_is_before_and_not_ours_is_corrupt(value: bytes):
    with pytest.raises(CorruptRecord, match="before"):
        before_rows.decode_before(value)


@pytest.mark.parametrize("key", [b"device_7", b"device_7\x00485170\x00K", b"\x000485170\x00K"])
def test_another_key_is_no_key_of_an_hour(key: bytes):
    with pytest.raises(CorruptRecord):
        hour_rows.decode_key(key)


def test_views_have_their_golden_bytes():
    version = ViewVersion(2, "building", 4, "1")
    assert view_versions.pointer_record(2) == POINTER
    assert view_versions.version_record(version) == VERSION
    folded = Views()
    for key, value in (VERSION, POINTER, (b"of-a-later-release", b"?"), (b"live", None)):
        folded.apply(key, value)
    assert folded == Views(live=2, versions={2: version})


@pytest.mark.parametrize(("key", "value"), [(None, b"{}"), (b"live", b"2"), (b"version/2", b"{}")])
def test_a_views_record_that_is_not_ours_is_corrupt(key: bytes | None, value: bytes):
    with pytest.raises(CorruptRecord):
        Views().apply(key, value)


def test_a_position_has_its_golden_bytes():
    position = Position(1_048_576, 8192, 3, "f00d", {"line": 8196})
    key = import_prefix("load", "2e1c5f") + b"0"
    assert (key, encode_position(position)) == POSITION
    assert decode_position(POSITION[1]) == position
    assert import_transactional_id("load", "2e1c5f") == "energy-import-load-2e1c5f"


def test_a_key_and_its_note_are_these_bytes() -> None:
    key = record_key("fleet", "events", "5f0e1a0e")
    assert key == b"keyed/XrLOKRx9/WziTIuwFEHCCca37XO6N8g"
    note = KeyNote(bytes(range(16)), 1_700_000_000, 5_000, 1, 4_990, 10, is_done=True)
    assert encode_note(note, "f00d") == (
        b'{"next_position":5000,"readings":4990,"quarantined":10,"owner":"f00d","note":'
        b'{"body":"000102030405060708090a0b0c0d0e0f","at":1700000000,"line":1,"is_done":true},'
        b'"v":1}'
    )
    assert decode_note(encode_note(note, "f00d")) == KeyNote.unpacked(note.packed()) == note
    assert len({record_key(*each) for each in OTHERS} | {key}) == len(OTHERS) + 1
    with pytest.raises(CorruptRecord):
        decode_note(encode_position(Position()))


OTHERS = [("fleet", "append", "5f0e1a0e"), ("f", "leetevents", "5f0e1a0e"), ("fleet", "events", "")]


@pytest.mark.parametrize(
    "changed",
    [
        {"at": -1},
        {"at": 1 << 40},
        {"at": "9" * 5_000},
        {"body": "no digest"},
        {"line": -1},
        {"line": 1 << 64},
        {"is_done": None, "at": float("inf")},
    ],
)
def test_a_note_that_is_not_ours_is_corrupt(changed: dict[str, object]):
    note = {"body": "00" * 16, "at": 1_700_000_000, "line": 1, "is_done": True} | changed
    # As Python writes it: 1e400 is infinite for whoever reads it.
    text = json.dumps({"note": note}).replace("Infinity", "1e400")
    with pytest.raises(CorruptRecord):
        decode_note(text.encode())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"5",
        POSITION[1].replace(b'"v":1', b'"v":2'),
        b'{"owner":"\xff"}',
        b'{"note":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    ],
)
def test_a_position_that_is_not_ours_is_corrupt(value: bytes):
    with pytest.raises(CorruptRecord, match="position"):
        decode_position(value)


def test_a_quarantined_record_has_its_golden_bytes():
    value = (
        b'{"timestamp": "2025-02-30 10:11:21", "device_id": "device_7", "energy_consumed": 1.50}'
    )
    origin = Origin("energy_consumption", 1, 87, 1_745_999_481_000, b"device_7")
    local = AT.astimezone(timezone(timedelta(hours=5)))
    assert quarantined(value, origin) == QUARANTINED
    assert quarantined(value, origin, local) == QUARANTINED
    assert decode_quarantined(QUARANTINED) == json.loads(QUARANTINED)
    assert VIEW_VERSION_HEADER == "view_version"


def test_k78_bytes_that_are_not_utf8_stay_recoverable():
    origin = Origin("energy_consumption", 0, 0, -1, b"\xff")
    assert quarantined(b"\xff\xfe", origin) == NOT_TEXT
    assert b64decode(decode_quarantined(NOT_TEXT)["__value_base64"]) == b"\xff\xfe"


def test_a_row_refused_on_the_way_in_has_its_golden_bytes():
    assert quarantined(b"", ImportedRow("i-1", "readings.ndjson.gz", 12)) == IMPORTED


def test_k2_a_null_value_stays_null():
    found = decode_quarantined(quarantined(None))
    assert (found["__value"], found["__value_base64"]) == (None, None)


@pytest.mark.parametrize("character", ["a", "é", "€"])
def test_k77_what_is_too_long_is_cut_with_length_and_sha256(character: str):
    value = (character * 200_000).encode()
    key = (character * 1000).encode() + b"k" * 2000
    found = decode_quarantined(quarantined(value, Origin("t", 0, 0, 0, key)))
    for name, whole, limit in (("__value", value, 64 * 1024), ("__key", key, 1024)):
        kept = found[name].encode()
        assert whole.startswith(kept)
        assert limit - 3 < len(kept) <= limit
        assert found[f"{name}_length"] == len(whole)
        assert found[f"{name}_sha256"] == hashlib.sha256(whole).hexdigest()


def test_k77_one_byte_that_is_no_text_beyond_the_cut_means_base64():
    value = b"a" * 100_000 + b"\xff"
    found = decode_quarantined(quarantined(value))
    assert found["__value"] is None
    assert b64decode(found["__value_base64"]) == value[: 64 * 1024]


def test_k77_the_largest_record_fits_the_quarantine_topic():
    """64 KiB of control characters are six times as long in JSON."""
    value = json.dumps({"device_id": "\x01" * 60_000}).encode()
    worst = quarantined(b"\x01" * 1_000_000, Origin("t", 0, 0, 0, b"\x01" * 900_000))
    limit = int(topics.QUARANTINE.configs["max.message.bytes"])
    assert len(worst) < limit // 3
    assert len(quarantined(value)) < limit // 3


def test_a_quarantine_record_that_is_not_ours_is_corrupt():
    for value in (None, b"", b"5", b"\xff"):
        with pytest.raises(CorruptRecord):
            decode_quarantined(value)


def test_the_document_shows_the_golden_bytes():
    shown = DOCUMENT.read_text(encoding="utf-8").split("```")[1::2]
    examples = [block.strip("\n").encode() for block in shown]
    assert examples == [
        b"device_7\n1 3 3106278102.75",
        b"device_8\n1 2 -0.5",
        b"\\x00applied\n" + MARKER_2,
        b"\\x00applied\n" + MARKER_OF_A_BIRTH,
        b"\\x00applied\n" + MARKER,
        b"\\x00applied\n" + MARKER_3,
        b"\\x00birth\n" + BIRTH,
        HOUR_KEY.replace(b"\x00", b"\\x00") + b"\n" + HOUR,
        BEFORE_KEY.replace(b"\x00", b"\\x00") + b"\n" + BEFORE,
        b"\n".join(POINTER),
        b"\n".join(VERSION),
        QUARANTINED,
        NOT_TEXT,
        IMPORTED,
        b"\n".join(POSITION),
    ]
    for golden in (b"1 3 3106278102.75", b"1 2 -0.5"):
        assert golden in TOTALS


def test_names_of_topics_and_writers_are_those_of_the_contract():
    assert DEVICE_TOTALS.changelog(1).name == "energy-v1-device_totals-changelog"
    assert topics.app_id(2) == "energy-v2"
    assert DEVICE_TOTALS.transactional_id(3, 7) == "energy-v3-7"
    assert [topic.name for topic in (topics.READINGS, topics.QUARANTINE)] == [
        "energy_consumption",
        "energy_consumption_quarantine",
    ]
    assert [topic.name for topic in (topics.VIEWS, topics.IMPORTS)] == [
        "energy_views",
        "energy_imports",
    ]
