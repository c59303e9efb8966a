"""Any bytes get one verdict: from the slow oracle, from `validate`, from any chunk around them."""

import json
from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.decoding import Reading, decode_readings, validate
from contract.errors import InvalidReading
from tests import oracle
from tests.values import value_of

GOOD_VALUES = [
    value_of(),
    value_of(energy_consumed="-12.50", timestamp='"2024-02-29T23:59:59Z"'),
    value_of(energy_consumed='"1.5e+3"', location='""', timestamp='"2025-01-01 00:00:00.5+02:00"'),
    value_of('"x": [1, {"a": [true, null, 1e999, "\\u00e9"]}]', '"location": "b"'),
    value_of(device_id=r'"\u00e9\ud83d\ude00é\\"', energy_consumed="1e-5"),
    value_of(device_id='"' + "é" * 100 + '"', location='"' + "€" * 80 + '"'),
]
FRAGMENTS = [
    *(bytes([byte]) for byte in b'"\\{}[],:019-+.eEtZ \n\r\t\x00\x0b\x1f\x7f\x80\xc3\xff'),
    b"\xed\xa0\x80",
    b"\xc2\x85",
    b"\\u",
    b"\\ud800",
    b"\\udc00",
    b"\\u0000",
    b"\\/",
    b"\\x",
    b"null",
    b"true",
    b"NaN",
    b"1e999",
    b"1e-400",
    b"0.0",
    b"9" * 60,
    b"[" * 62,
    b"]" * 62,
    b'{"a":' * 62,
    b'"device_id":',
    b'"energy_consumed":"',
    b',"x":',
    b'{"x":[{}',
    b"{}],",
    b"24:00",
    b"-02-29",
    b"1970",
    b"+18:00",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good value, or two in a row, with up to four pieces replaced."""
    value = bytearray(
        b"".join(draw(st.lists(st.sampled_from(GOOD_VALUES), min_size=1, max_size=2)))
    )
    if draw(st.booleans()):
        value = bytearray(draw(st.sampled_from(GOOD_VALUES)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(value)))
        cut = draw(st.integers(0, 3))
        value[start : start + cut] = draw(st.sampled_from([b"", *FRAGMENTS]))
    return bytes(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
#: Any JSON, strict or not: its grammar must be the same to both parsers where it is skipped.
SKIPPED = st.lists(
    st.sampled_from(
        [
            '"a"',
            '"a":1',
            "[]",
            "{}",
            *'[]{},:"\\10-.e \t\n\x0bé',
            "u00e9",
            "ud83d",
            "E+",
            "null",
            "true",
            "fals",
            "NaN",
        ]
    ),
    max_size=8,
).map("".join)
ANY_VALUE = st.one_of(
    st.none(),
    st.binary(max_size=20),
    st.sampled_from(GOOD_VALUES),
    mutated(),
    SKIPPED.map(lambda text: value_of(f'"x": {text}')),
    SKIPPED.map(lambda text: value_of(f'"x": "{text}"')),
    SKIPPED.map(lambda text: value_of(energy_consumed=text)),
    SKIPPED.map(lambda text: value_of(energy_consumed=f'"{text}"')),
    st.text().map(lambda text: value_of(device_id=f'"{text}"')),
)


def verdict(value: bytes | None) -> Reading | tuple[object, ...]:
    try:
        return validate(value)
    except InvalidReading as error:
        return error.args


@settings(max_examples=1500, deadline=None)
@given(ANY_VALUE)
@example(value_of('"x": {"a": 1, "a"}'))
@example(value_of('"x": "\\uD83D\\uDE00"'))
def test_the_verdict_is_the_oracles(value: bytes | None):
    expected = oracle.judge(value)
    found = verdict(value)
    if expected is None:
        assert not isinstance(found, Reading)
    else:
        assert isinstance(found, Reading)
        assert expected == (
            found.timestamp,
            found.device_id,
            Fraction(found.energy_consumed),
            found.location,
        )


@settings(max_examples=500, deadline=None)
@given(
    st.lists(ANY_VALUE | st.sampled_from(GOOD_VALUES), max_size=40), st.lists(st.integers(1, 40))
)
def test_k80_a_chunk_is_judged_value_by_value(values: list[bytes | None], sizes: list[int]):
    verdicts = [verdict(value) for value in values]
    start = 0
    for size in [*sizes, len(values) + 1]:
        chunk = values[start : start + size]
        expected = verdicts[start : start + size]
        found, rejected = decode_readings(chunk)
        assert found == [each for each in expected if isinstance(each, Reading)]
        assert [(place, error.args) for place, error in rejected] == [
            (place, each) for place, each in enumerate(expected) if not isinstance(each, Reading)
        ]
        start += size


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_k79_pieces_of_readings_are_judged_alone(data: st.DataObject):
    joined = b",".join(data.draw(st.lists(st.sampled_from(GOOD_VALUES), min_size=2, max_size=4)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(joined)), max_size=4)))
    ends = [*cuts, len(joined)]
    pieces = [joined[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    found, rejected = decode_readings(pieces)
    expected = [oracle.judge(piece) for piece in pieces]
    assert len(found) == sum(each is not None for each in expected)
    assert [each.place for each in rejected] == [
        place for place, each in enumerate(expected) if each is None
    ]


@settings(max_examples=100, deadline=None)
@given(JSON, st.integers(0, 62))
def test_any_json_in_an_unknown_field_is_passed_over(inner: object, levels: int):
    text = json.dumps(inner, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    value = value_of('"x": ' + "[" * levels + text + "]" * levels)
    assert isinstance(verdict(value), Reading) == (oracle.judge(value) is not None)
