"""The rows of device_totals: which bytes are one."""

from __future__ import annotations

from itertools import product

from contract.device_totals import decode_total, encode_total, is_part_total
from contract.errors import CorruptRecord


def is_written_so(value: bytes) -> bool:
    try:
        return encode_total(*decode_total(value)) == value
    except CorruptRecord:
        return False


def test_a_part_total_is_what_is_written_as_it_was_read() -> None:
    texts = (bytes(text) for length in range(6) for text in product(b"-019. ", repeat=length))
    for value in (b"1 1 " + text for text in texts):
        assert bool(is_part_total(value)) is is_written_so(value), value
