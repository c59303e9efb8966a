"""Splitting a body into rows, held against a slow reference that builds the JSON."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.errors import BadRequest
from api.ingest.body_rows import split_rows

BLANKS = " \t\r\n"
TEXTS = st.text(st.sampled_from('ab,:[]{}"\\\n\r\u2028é'), max_size=6)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def rows(body: bytes) -> list[tuple[int, bytes]] | None:
    """All rows with their numbers, None if the body is refused."""

    async def collect() -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        async for some in split_rows(body):
            found += zip(some.lines, some.values, strict=True)
        return found

    try:
        return asyncio.run(collect())
    except BadRequest:
        return None


def refuse(text: str) -> Any:
    raise ValueError(text)


def parse(text: str) -> Any:
    """Parse JSON by its grammar. Raises: ValueError."""
    return json.loads(text, parse_constant=refuse)


def is_object(text: str) -> bool:
    try:
        return isinstance(parse(text), dict)
    except ValueError:
        return False


def expected(body: bytes) -> list[tuple[int, str]] | None:
    """What the contract says, slowly: the parsed elements' texts, or the lines."""
    text = body.decode()
    if not text.strip(BLANKS):
        return None
    if text.lstrip(BLANKS).startswith("["):
        try:
            return [(n, json.dumps(each)) for n, each in enumerate(parse(text), 1)]
        except ValueError:
            return None
    if is_object(text):
        return [(1, json.dumps(parse(text)))]
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip(BLANKS)]
    if len(lines) > 1 and not any(is_object(line) for _, line in lines):
        return None
    return lines


def agree(body: bytes) -> None:
    found, should = rows(body), expected(body)
    if found is None or should is None:
        assert found == should, body
        return
    assert [number for number, _ in found] == [number for number, _ in should]
    for (_, row), (_, text) in zip(found, should, strict=True):
        try:
            # As text: NaN is not equal to itself, and 1 is equal to 1.0.
            assert json.dumps(json.loads(row)) == json.dumps(json.loads(text))
        except ValueError:
            assert row.decode() == text.removesuffix("\r")


@given(st.lists(VALUES, max_size=8), st.sampled_from([None, 0, 2]), st.text(BLANKS, max_size=3))
def test_every_array_is_cut_into_its_elements(
    values: list[Any], indent: int | None, around: str
) -> None:
    body = (around + json.dumps(values, indent=indent, ensure_ascii=False) + around).encode()
    found = rows(body)
    assert found is not None
    assert [json.dumps(json.loads(row)) for _, row in found] == [json.dumps(v) for v in values]


@settings(max_examples=600, deadline=None)
@given(st.text(st.sampled_from('{}[],:"\\ \n\r1a'), max_size=24))
@example('{"a":1}\n{"b":2}')
@example('[{"a":[1}]}]')
@example('{"a":{\n}}')
@example('{"a"\n:1}\r\n')
@example('[{"x":1},{"y":[{}]}]')
@example("{}{}\n{}")
@example('{}\n"')
def test_any_text_is_cut_as_the_reference_does(text: str) -> None:
    agree(text.encode())


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from(['{"a":1}', "{", "}", "[", "]", ",", '"', "\\", "\n", "1", " ", "{}"])
    ),
)
def test_any_pieces_of_json_are_cut_as_the_reference_does(pieces: list[str]) -> None:
    agree("".join(pieces).encode())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["{}", '{"a":"é"}', "", " ", "\r", "5", "{"]), min_size=1))
def test_windows_cut_lines_as_one_window_does(lines: list[str]) -> None:
    body = "\n".join(lines * 20).encode()
    whole = rows(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.ingest.body_rows.WINDOW_BYTES", 7)
        patch.setattr("api.ingest.body_rows.SLICE_ROWS", 3)
        assert rows(body) == whole
