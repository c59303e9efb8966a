"""Folding is exact and free of order; numbers survive their bytes."""

import random
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.decimals import canonical, from_canonical, nearest_float, parse_number, sum_exactly
from contract.decoding import Reading
from contract.device_totals import PartTotals, add_stored, decode_total, encode_total, fold

DIGITS = "0123456789"
CANONICAL = r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?"


@st.composite
def number_texts(draw: st.DrawFn) -> str:
    """Numbers as JSON writes them, up to the corners of Float64."""
    sign = draw(st.sampled_from(["", "-"]))
    whole = draw(st.just("0") | st.from_regex(r"[1-9][0-9]{0,28}", fullmatch=True))
    fraction = draw(st.just("") | st.text(DIGITS, min_size=1, max_size=24).map(lambda d: "." + d))
    exponent = draw(
        st.just("")
        | st.integers(-290, 270).map(lambda e: f"e{e}")
        | st.integers(0, 99).map(lambda e: f"E+{e}")
    )
    return sign + whole + fraction + exponent


def readings_of(pairs: list[tuple[str, str]]) -> list[Reading]:
    return [
        Reading("2025-04-30 10:11:21", device, parse_number(text), "") for device, text in pairs
    ]


PAIRS = st.lists(st.tuples(st.sampled_from("abc"), number_texts()), max_size=30)


@settings(max_examples=200, deadline=None)
@given(PAIRS, st.randoms(use_true_random=False))
def test_totals_are_exact_in_any_order_and_chunking(
    pairs: list[tuple[str, str]], order: random.Random
):
    expected = {
        device: (sum(Fraction(text) for name, text in pairs if name == device), count)
        for device in {name for name, _ in pairs}
        if (count := sum(name == device for name, _ in pairs))
    }
    readings = readings_of(pairs)
    written = set()
    for _ in range(3):
        order.shuffle(readings)
        cut = order.randint(0, len(readings))
        totals: PartTotals = {}
        fold(readings[:cut], totals)
        fold(readings[cut:], totals)
        assert {d: (Fraction(t), n) for d, (t, n) in totals.items()} == expected
        written.add(tuple(sorted((d, encode_total(t, int(n))) for d, (t, n) in totals.items())))
    assert len(written) == 1


@settings(max_examples=150, deadline=None)
@given(PAIRS, PAIRS)
def test_a_stored_part_total_and_a_delta_add_exactly(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
):
    stored, delta = ({"a": [0, 0]} for _ in range(2))
    fold(readings_of([("a", text) for _, text in before]), stored)
    fold(readings_of([("a", text) for _, text in after]), delta)
    written = encode_total(stored["a"][0], int(stored["a"][1]))
    ((key, value),) = add_stored([(b"a", written)], delta)
    assert key == b"a"
    total, count = decode_total(value)
    assert Fraction(total) == sum(Fraction(text) for _, text in before + after)
    assert count == len(before) + len(after)
    assert Fraction(sum_exactly([stored["a"][0], delta["a"][0]])) == Fraction(total)


@settings(max_examples=1000, deadline=None)
@given(number_texts())
def test_a_number_is_read_and_written_exactly(text: str):
    number = parse_number(text)
    written = canonical(number)
    assert Fraction(number) == Fraction(text) == Fraction(written)
    assert re.fullmatch(CANONICAL, written)
    assert written != "-0"
    assert from_canonical(written) == number
    assert canonical(from_canonical(written)) == written
    assert nearest_float(number) == float(text)


@settings(max_examples=150, deadline=None)
@given(number_texts(), st.integers(0, 10), st.integers(-20, 20))
def test_equal_numbers_have_one_canonical_text(text: str, zeros: int, shift: int):
    number = Decimal(text)
    padded = Decimal(
        number.as_tuple()._replace(
            digits=(*number.as_tuple().digits, *[0] * zeros),
            exponent=int(number.as_tuple().exponent) - zeros,
        )
    )
    assert canonical(padded) == canonical(parse_number(text))


@pytest.mark.parametrize("stored", [[], [(b"a", None)], [(b"a", None), (b"b", None), (b"c", None)]])
def test_a_device_of_which_nothing_is_told_is_not_passed_over(
    stored: list[tuple[bytes, None]],
) -> None:
    with pytest.raises((KeyError, ValueError)):
        add_stored(stored, {"a": [1, 1], "b": [2, 1]})
