"""What a reading costs on the hot path, counted in steps of Python instead of in seconds.

A step is a bytecode that Python executes or a function that it calls, C functions included: the
same number on every machine, however busy. Work inside C is not seen; `energy bench --stages`
times it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from contract.changelog import Marker
from contract.device_totals import DEVICE_TOTALS
from stream_app.partition.fold_state import PartitionFold
from tests.records import chunk_of, reading_value

READINGS = 4_000
DEVICES = 100
#: 62 and 1 when this was written: the loop of `fold`, three passes over attributes, `dict.get`.
MOST_BYTECODES = 70
MOST_CALLS = 1.5


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


def steps_of_folding(readings: int) -> StepCounter:
    """Fold a chunk of everyday readings into totals that know their devices."""
    values = [reading_value(f"device_{n % DEVICES}", str(n)) for n in range(readings)]
    fold = PartitionFold(DEVICE_TOTALS, 0, Marker(applied_offset=-1))
    fold.accept(chunk_of(0, values[:DEVICES]))
    chunk = chunk_of(DEVICES, values[DEVICES:])
    counter = StepCounter()
    counter.count(lambda: fold.accept(chunk))
    assert fold.pending.counted == readings
    return counter


def test_folding_a_reading_takes_few_steps_of_python() -> None:
    few, many = steps_of_folding(READINGS), steps_of_folding(2 * READINGS)
    bytecodes = (many.bytecodes - few.bytecodes) / READINGS
    calls = (many.calls - few.calls) / READINGS
    assert bytecodes <= MOST_BYTECODES, "something new runs for each reading: measure it"
    assert calls <= MOST_CALLS, "something new is called for each reading: measure it"
