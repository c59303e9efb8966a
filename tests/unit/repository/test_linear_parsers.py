"""Whatever a stranger sends costs in proportion to its size: no regular expression, no parser.

CPU time of one thread, the least of a few rounds, for a value and one eight times as long: that
may take some eight times as long, and never the 64 times of what is quadratic. What takes next to
no time for the long one needs no second look. Regular expressions are found by themselves, with
the ways they are used; parsers stand in PARSERS, and each way in has its own shapes.
"""

from __future__ import annotations

import ast
import asyncio
import gzip
import importlib
import pkgutil
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request

import api
import contract
import producer.files
from api.auth.authorization import _secret
from api.errors import ApiError, BadRequest
from api.http.content_encoding import Inflater
from api.http.framing import check_head
from api.http.multipart import Upload, _form_of
from api.http.parameters import parse_query, unescape
from api.ingest.body_rows import split_rows
from api.ingest.idempotency_key import key_of
from api.query.freshness_headers import is_same
from contract.decoding import decode_readings
from contract.quarantine import ImportedRow, Origin, encode_quarantined
from contract.timestamps import _is_plain_time, faulty_timestamps, timestamp_fault
from contract.validation import VALUE_BYTES
from producer.errors import ProducerError
from producer.files.cells import Dialect
from producer.files.compression import inflated
from producer.files.content import Content
from producer.files.reading import read_places
from producer.files.rows import Format, Start
from producer.judging import judge, quarantine
from tests.api_doubles import Answer, Caller, caller_for
from tests.hostile import (
    CODED_SHAPES,
    CSV_SHAPES,
    FORM_SHAPES,
    JSON_SHAPES,
    MANY_BRACKETS,
    TEXT_SHAPES,
    Shape,
    cpu_seconds,
    repeated,
)

#: What becomes thousands of rows is slower for what it writes down, and is tried with less.
SIZES, FEWER = (8 * 1024, 64 * 1024), (2 * 1024, 16 * 1024)
#: Between the 8 of what is linear and the 64 of what is quadratic.
MOST_TIMES = 24
#: Less than this is never looked at: what is quadratic takes 20 to 9,000 ms, and a copy that no
#: longer fits into a cache alone may grow 100 times.
QUICK_SECONDS = 0.01
#: A whole request or record of 64 KiB that is one row or few; the slowest takes 4 to 8 ms.
MOST_SECONDS = 0.02
#: Whose patterns a stranger's bytes may reach.
ROOMS: tuple[ModuleType, ...] = (contract, api, producer.files)


def slower_than_linear(
    parse: Callable[[bytes], object],
    shapes: Iterable[Shape],
    sizes: tuple[int, int] = SIZES,
) -> list[str]:
    """Name what grows faster than its input."""
    found = []
    for shape in shapes:
        small, large = map(shape, sizes)
        for rounds in (1, 3):
            seconds = cpu_seconds(lambda value=large: parse(value), rounds)
            if seconds <= QUICK_SECONDS:
                break
            times = seconds / max(cpu_seconds(lambda value=small: parse(value), rounds), 1e-6)
            if times <= MOST_TIMES:
                break
        else:
            found.append(f"{large[:40]!r}: {seconds * 1000:.0f} ms, {times:.0f} times")
    return found


def test_a_parser_that_is_quadratic_is_found() -> None:
    def count_to_the_end(value: bytes) -> int:
        return sum(value.count(b"b", place) for place in range(0, len(value), 4))

    assert slower_than_linear(count_to_the_end, [repeated(b"a")])


def modules_of(rooms: Iterable[ModuleType]) -> list[ModuleType]:
    names = [
        module.name
        for room in rooms
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
    ]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def uses_of_patterns() -> dict[str, Callable[[Any], object]]:
    """Each way in which a pattern of a module is used, by module, name and method."""
    uses: dict[str, Callable[[Any], object]] = {}
    for module in modules_of(ROOMS):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        for name, value in vars(module).items():
            if isinstance(getattr(value, "__self__", None), re.Pattern):
                uses[f"{module.__name__}.{name}"] = value
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                pattern = vars(module).get(node.value.id)
                if isinstance(pattern, re.Pattern):
                    use = f"{module.__name__}.{node.value.id}.{node.attr}"
                    uses[use] = getattr(pattern, node.attr)
    return uses


USES = uses_of_patterns()


def test_patterns_are_compiled_where_they_are_found() -> None:
    """One that is made where it is used would not be tried here."""
    hidden = []
    for module in modules_of(ROOMS):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                hidden += [
                    module.__name__
                    for node in ast.walk(function)
                    if isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "re"
                ]
    # Of texts of our own.
    assert set(hidden) <= {"api.routes.documentation"}
    assert len(USES) > 20


@pytest.mark.parametrize("use", sorted(USES))
def test_api_b1_a_pattern_takes_time_in_proportion_to_the_text(use: str) -> None:
    pattern = USES[use]
    searched = getattr(pattern, "__self__", pattern)
    is_text = isinstance(searched.pattern, str)

    def apply(value: bytes) -> object:
        text: Any = value.decode("utf-8", "replace") if is_text else value
        if use.endswith(".sub"):
            return pattern("" if is_text else b"", text)  # type: ignore[call-arg]
        found = pattern(text)
        return deque(found, maxlen=0) if use.endswith(("finditer", "_token")) else found

    assert slower_than_linear(apply, [*JSON_SHAPES.values(), *CSV_SHAPES.values()]) == []


def kafka_record(value: bytes) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for place, error in decode_readings([value])[1]:
        encode_quarantined(value, error, Origin("t", 0, place, 0, value), now)


def body(value: bytes) -> None:
    async def take() -> None:
        async for rows in split_rows(value):
            quarantine(judge(rows).refused, ImportedRow("id"))

    asyncio.run(take())


def file(form: Format, escape: str | None = None) -> Callable[[bytes], None]:
    def take(value: bytes) -> None:
        if form == "csv":
            value = b"timestamp,device_id,energy_consumed,location\n" + value
        content = Content(BytesIO(value), "upload")
        for _ in read_places(content, form, Start(), Dialect(escape=escape), ImportedRow("id")):
            pass

    return take


def request_with(name: str, value: bytes) -> Request:
    return Request({"type": "http", "headers": [(name.encode(), value)]})


def form(value: bytes) -> None:
    upload = cast(Upload, SimpleNamespace(add=BytesIO().write, name=""))
    found = _form_of(request_with("content-type", b"multipart/form-data; boundary=b"), upload)
    found.write(value)


def coded(coding: str) -> Callable[[bytes], None]:
    def take(value: bytes) -> None:
        reader = Inflater([coding])
        for _ in reader.feed(value):
            pass
        reader.finish()

    return take


def header(
    parse: Callable[[list[tuple[bytes, bytes]]], object], name: bytes
) -> Callable[[bytes], object]:
    return lambda value: parse([(name, value)])


MANY_ROWS = ("a body", "an array", "an NDJSON file", "a CSV file", "a CSV file with an escape")
CSV = {**JSON_SHAPES, **CSV_SHAPES}
PARSERS: dict[str, tuple[Callable[[bytes], object], dict[str, Shape]]] = {
    "a Kafka record": (kafka_record, JSON_SHAPES),
    "a body": (body, JSON_SHAPES),
    "an array": (lambda value: body(b"[" + value + b"]"), JSON_SHAPES),
    "an NDJSON file": (file("ndjson"), JSON_SHAPES),
    "a CSV file": (file("csv"), CSV),
    "a CSV file with an escape": (file("csv", "\\"), CSV_SHAPES),
    "a Parquet file": (lambda value: file("parquet")(b"PAR1" + value + b"PAR1"), TEXT_SHAPES),
    "a compressed file": (file("ndjson"), CODED_SHAPES),
    "a gzip body": (coded("gzip"), CODED_SHAPES),
    "a deflate body": (coded("deflate"), CODED_SHAPES),
    "a zstd body": (coded("zstd"), CODED_SHAPES),
    "a query": (parse_query, TEXT_SHAPES),
    "a path": (lambda value: unescape(value, "path", "x", plus_is_space=False), TEXT_SHAPES),
    "a multipart form": (form, FORM_SHAPES),
    "Authorization": (header(lambda found: _secret(found, None), b"authorization"), TEXT_SHAPES),
    "Content-Encoding": (lambda value: Inflater([value.decode("latin-1")]), TEXT_SHAPES),
    "Content-Type": (
        lambda value: _form_of(request_with("content-type", value), cast(Upload, None)),
        TEXT_SHAPES,
    ),
    "Idempotency-Key": (header(key_of, b"idempotency-key"), TEXT_SHAPES),
    "If-None-Match": (
        header(lambda found: is_same(found, 'W/"1-2"'), b"if-none-match"),
        TEXT_SHAPES,
    ),
    "Host": (header(lambda found: check_head("1.1", b"/", found), b"host"), TEXT_SHAPES),
    "Transfer-Encoding": (
        header(lambda found: check_head("1.1", b"/", found), b"transfer-encoding"),
        TEXT_SHAPES,
    ),
    "timestamps": (
        lambda value: faulty_timestamps([value.decode("utf-8", "replace")] * 40),
        TEXT_SHAPES,
    ),
}


@pytest.mark.parametrize("name", PARSERS)
def test_api_b1_a_parser_takes_time_in_proportion_to_what_it_parses(name: str) -> None:
    parse, shapes = PARSERS[name]

    def tried(value: bytes) -> None:
        try:
            parse(value)
        except (ApiError, ProducerError):
            return
        except Exception as error:
            if type(error).__name__ != "MultipartParseError":
                raise

    sizes = FEWER if name in MANY_ROWS else SIZES
    assert slower_than_linear(tried, shapes.values(), sizes) == []


def test_api_b1_an_open_string_of_escaped_quotes_takes_no_seconds() -> None:
    value = repeated(b'\\"', MANY_BRACKETS + b'"')(VALUE_BYTES)
    assert cpu_seconds(lambda: decode_readings([value])) < 0.1


def test_api_b25_a_value_that_is_too_long_is_refused_by_its_length_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr("contract.decoding._decode_everyday", parsed.append)
    monkeypatch.setattr("contract.validation._decode_fields", parsed.append)
    long = b'{"device_id": "' + b"a" * VALUE_BYTES + b'"}'
    found, rejected = decode_readings([long, long])
    assert (found, parsed) == ([], [])
    assert [str(error) for _, error in rejected] == ["value: more than 65536 bytes"] * 2


def test_nothing_that_is_too_long_to_be_a_timestamp_is_kept() -> None:
    before = _is_plain_time.cache_info().currsize
    assert timestamp_fault("2025-04-30 " + "1" * 60_000)
    assert _is_plain_time.cache_info().currsize == before


def test_a_content_type_that_is_too_long_is_refused_unparsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.http.multipart.parse_options_header", None)
    with pytest.raises(BadRequest):
        _form_of(request_with("content-type", b"multipart/" + b";" * 1024), cast(Upload, None))


def of_each_shape(caller: Caller) -> Iterator[tuple[str, Callable[[], Awaitable[Answer]]]]:
    """Send every shape that is one row or few."""
    for name, shape in JSON_SHAPES.items():
        value = shape(VALUE_BYTES)
        is_array = value.startswith(b"[") and value.count(b",") > 100
        if value.count(b"\n") < 100 and not is_array:
            yield f"POST: {name}", partial(caller.events, value)
    for coding in ("gzip", "zstd"):
        for name, shape in CODED_SHAPES.items():
            coded = shape(VALUE_BYTES)
            yield f"{coding}: {name}", partial(caller.events, coded, content_encoding=coding)


async def test_api_b1_no_shape_of_64_kib_holds_the_event_loop(tmp_path: Path) -> None:
    """`python -m tests.benchmarks.hostile` measures all of it, and what others see."""
    caller = caller_for(tmp_path, None)
    slow = []
    for name, ask in of_each_shape(caller):
        # Twice where it was slow: a collection of this process's garbage takes its time too.
        if await seconds_of(ask) > MOST_SECONDS and await seconds_of(ask) > MOST_SECONDS:
            slow.append(name)
    assert slow == []


async def seconds_of(ask: Callable[[], Awaitable[Answer]]) -> float:
    begun = time.thread_time()
    assert 200 <= (await ask()).status < 500
    return time.thread_time() - begun


def test_api_b1_no_shape_of_64_kib_holds_a_partition() -> None:
    slow = [
        name
        for name, shape in JSON_SHAPES.items()
        if cpu_seconds(partial(kafka_record, shape(VALUE_BYTES))) > MOST_SECONDS
    ]
    assert slow == []


def test_tiny_members_become_pieces_that_are_worth_reading() -> None:
    members = gzip.compress(b"x") * 100_000
    pieces = list(inflated(b"", BytesIO(members), "gzip"))
    assert b"".join(pieces) == b"x" * 100_000
    assert len(pieces) <= 2
