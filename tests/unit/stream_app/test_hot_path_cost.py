"""What a reading costs on the hot path, counted in steps of Python instead of in seconds.

A step is a bytecode that Python executes or a function that it calls, C functions included: the
same number on every machine, however busy. Work inside C is not seen; `energy bench --stages`
times it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest

from contract.changelog import Marker
from contract.decoding import decode_readings
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.quarter_sums import QuarterSums, fold_quarter
from contract.view import View
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.shared_chunk import fold_together
from tests.records import chunk_of, reading_value

READINGS = 4_000
DEVICES = 100
#: 62 and 1 when this was written (with the series, folded once for both views, 77 and 1): the loop
#: of `fold`, three passes over attributes, `dict.get`.
MOST_BYTECODES = 70
MOST_CALLS = 1.5
MOST_WITH_SERIES = 85


class StepCounter:
    """Counts what Python does; both hooks see every frame that begins while they are set."""

    def __init__(self) -> None:
        self.bytecodes = 0
        self.calls = 0

    def count(self, work: Callable[[], Any]) -> None:
        tracing, profiling = sys.gettrace(), sys.getprofile()
        sys.settrace(self._trace)
        sys.setprofile(self._profile)
        try:
            work()
        finally:
            sys.setprofile(profiling)
            sys.settrace(tracing)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.bytecodes += event == "opcode"
        return self._trace

    def _profile(self, _frame: FrameType, event: str, _: Any) -> None:
        self.calls += event in ("call", "c_call")


def steps_of_folding(readings: int, views: Sequence[View]) -> StepCounter:
    """Fold a chunk of everyday readings, in order of time, into views that know their devices."""
    values = [reading_value(f"device_{n % DEVICES}", str(n)) for n in range(readings)]
    folds = [PartitionFold(view, 0, Marker(applied_offset=-1)) for view in views]
    fold_together(folds, chunk_of(0, values[:DEVICES]))
    chunk = chunk_of(DEVICES, values[DEVICES:])
    counter = StepCounter()
    counter.count(lambda: fold_together(folds, chunk))
    assert all(fold.pending.counted == readings for fold in folds)
    return counter


@pytest.mark.parametrize(
    ("views", "most_bytecodes"),
    [((DEVICE_TOTALS,), MOST_BYTECODES), ((DEVICE_TOTALS, ENERGY_SERIES), MOST_WITH_SERIES)],
)
def test_folding_a_reading_takes_few_steps_of_python(
    views: Sequence[View], most_bytecodes: int
) -> None:
    few, many = steps_of_folding(READINGS, views), steps_of_folding(2 * READINGS, views)
    bytecodes = (many.bytecodes - few.bytecodes) / READINGS
    calls = (many.calls - few.calls) / READINGS
    print(f"{bytecodes:.1f} bytecodes, {calls:.2f} calls a reading")
    assert bytecodes <= most_bytecodes, "something new runs for each reading: measure it"
    assert calls <= MOST_CALLS, "something new is called for each reading: measure it"


def test_cells_that_are_folded_together_share_their_texts() -> None:
    """A text of its own for each cell comes from memory again with each reading of its device."""
    values = [reading_value(f"device_{n}", str(n)) for n in range(DEVICES)]
    readings, _ = decode_readings(values)
    cells = QuarterSums()
    assert fold_quarter(readings, cells)
    texts = [cell[place] for _, cell in cells.cells() for place in (0, 3, 4)]
    assert len(texts) == 3 * DEVICES
    assert len(set(map(id, texts))) == len(set(texts))
