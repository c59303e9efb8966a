"""A chunk that several views fold: looked at once, and each takes exactly what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from contract.changelog import Marker
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.view import View
from kafka_io.batches.chunk import RecordChunk
from stream_app.partition import shared_chunk
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.shared_chunk import fold_together
from tests.first_letters import FIRST_LETTERS
from tests.records import HandmadeRecord, chunk_of, reading_value, records_from

VIEWS = (DEVICE_TOTALS, ENERGY_SERIES, FIRST_LETTERS)
#: Readings with invalid values before, between and behind them.
VALUES = [b"bad", reading_value("a"), b"", reading_value("b"), reading_value("b"), None]


class Damaged:
    """A batch that says it is compressed, and is not."""

    base_offset, next_offset = 2, 9

    def __iter__(self) -> Iterator[HandmadeRecord]:
        raise ValueError("not what it says it is")


def fold_of(view: View, applied_offset: int = -1) -> PartitionFold:
    return PartitionFold(view, 0, Marker(applied_offset))


def rows_of(fold: PartitionFold) -> list[tuple[bytes, bytes]]:
    """What a commit of it would write, the marker included."""
    taken = fold.take()
    keys = [(key, None) for key in fold.view.keys(taken.deltas)]
    return fold.transaction(taken, fold.folded_offset, keys).updates


def test_a_slice_is_decoded_once_for_all_views(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode = shared_chunk.decode_readings

    def counted(values: Any) -> Any:
        decoded.append(len(values))
        return decode(values)

    monkeypatch.setattr(shared_chunk, "decode_readings", counted)
    folds = [fold_of(view) for view in VIEWS]
    assert fold_together(folds, chunk_of(0, VALUES)) is None
    assert decoded == [len(VALUES)]
    assert [fold.pending.counted for fold in folds] == [3, 3, 3]
    assert [len(fold.pending.quarantined) for fold in folds] == [3, 0, 0]


AT_TEN = [reading_value(name) for name in "abba"]
AT_NOON = [reading_value(name).replace(b" 10:11", b" 12:46") for name in "bcb"]
SCATTERED = [AT_TEN[0], AT_NOON[0]]


def folds_of(chunks: list[list[bytes]], takes_after: dict[int, list[int]]) -> list[list[Any]]:
    """Fold chunks together; each view is taken after the chunks named for it, and at the end."""
    folds, offset = [fold_of(view) for view in VIEWS], 0
    written: list[list[Any]] = [[] for _ in VIEWS]
    for number, values in enumerate(chunks):
        fold_together(folds, chunk_of(offset, values))
        offset += len(values)
        for view in takes_after.get(number, []):
            written[view].append(rows_of(folds[view])[:-1])
    for fold, rows in zip(folds, written, strict=True):
        rows.append(rows_of(fold)[:-1])
    return written


def folds_alone(chunks: list[list[bytes]], takes_after: dict[int, list[int]]) -> list[list[Any]]:
    """Do the same with each view by itself."""
    written = []
    for number, view in enumerate(VIEWS):
        fold, offset, rows = fold_of(view), 0, []
        for chunk, values in enumerate(chunks):
            fold.accept(chunk_of(offset, values))
            offset += len(values)
            if number in takes_after.get(chunk, []):
                rows.append(rows_of(fold)[:-1])
        written.append([*rows, rows_of(fold)[:-1]])
    return written


@pytest.mark.parametrize(
    "takes_after",
    [{}, {0: [0]}, {0: [1], 1: [0]}, {0: [0, 1], 2: [1, 0]}, {1: [2]}, {0: [0], 1: [0], 2: [0]}],
)
def test_whoever_is_taken_when_has_what_it_would_have_alone(
    takes_after: dict[int, list[int]],
) -> None:
    chunks = [AT_TEN, AT_TEN, SCATTERED, AT_NOON, AT_TEN]
    assert folds_of(chunks, takes_after) == folds_alone(chunks, takes_after)


def test_what_is_in_one_quarter_is_folded_once_for_all_that_can_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folded: list[str] = []
    views = []
    for view in VIEWS:

        def fold(readings: Any, into: Any, view: View = view) -> None:
            folded.append(view.name)
            view.fold(readings, into)

        views.append(replace(view, fold=fold))
    folds = [fold_of(view) for view in views]
    fold_together(folds, chunk_of(0, AT_TEN))
    assert folded == [FIRST_LETTERS.name]
    assert [fold.pending_rows for fold in folds] == [2, 2, 2]
    fold_together(folds, chunk_of(len(AT_TEN), SCATTERED))
    assert sorted(folded[1:]) == sorted(view.name for view in VIEWS)


def test_a_view_that_is_let_go_leaves_the_others_what_they_share() -> None:
    totals, series = folds = [fold_of(DEVICE_TOTALS), fold_of(ENERGY_SERIES)]
    fold_together(folds, chunk_of(0, AT_TEN))
    fold_together([series], chunk_of(4, AT_TEN))
    again = fold_of(DEVICE_TOTALS, 7)
    fold_together([again, series], chunk_of(8, AT_TEN))
    assert ENERGY_SERIES.readings(rows_of(series)[:-1]) == 12
    assert DEVICE_TOTALS.readings(rows_of(again)[:-1]) == 4
    assert DEVICE_TOTALS.readings(rows_of(totals)[:-1]) == 4


@pytest.mark.parametrize("applied", range(-1, len(VALUES) - 1))
def test_a_view_that_is_ahead_takes_only_the_rest_of_a_slice(applied: int) -> None:
    behind = fold_of(FIRST_LETTERS)
    ahead = [fold_of(view, applied) for view in VIEWS]
    fold_together([behind, *ahead], chunk_of(0, VALUES))
    for fold in ahead:
        alone = fold_of(fold.view, applied)
        alone.accept(chunk_of(applied + 1, VALUES[applied + 1 :]))
        quarantined = [record.key for record in fold.pending.quarantined]
        assert quarantined == [record.key for record in alone.pending.quarantined]
        assert rows_of(fold) == rows_of(alone)
    assert behind.pending.counted == 3


def test_of_a_damaged_chunk_each_view_has_all_before_the_batch() -> None:
    first = records_from(0, [reading_value("a"), reading_value("b")])
    chunk = RecordChunk("energy_consumption", 0, 0, 9, [first, Damaged()], 5)
    behind, ahead = fold_of(DEVICE_TOTALS), fold_of(FIRST_LETTERS, 0)
    damage = fold_together([behind, ahead], chunk)
    assert (behind.pending.counted, ahead.pending.counted) == (2, 1)
    assert behind.folded_offset == ahead.folded_offset == damage.first - 1 == 1
