"""What retention adds up: whatever comes late, whenever the cutoff moves, all sums stay."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.before_rows import decode_before, rolled_up
from contract.changelog import MARKER_KEY, Marker, decode_marker, encode_marker
from contract.decimals import EXACT
from contract.decoding import Reading
from contract.energy_series import ENERGY_SERIES
from contract.hour_rows import BEFORE, decode_key
from stream_app.partition.commit_protocol import (
    ReadOld,
    ReadStore,
    WriteStore,
    WriteTransaction,
    commit_steps,
)
from stream_app.partition.fold_state import PartitionFold
from stream_app.partition.roll_up import Found
from tests.fault.series_checker import new_cells, quarter_of, series_verdict
from tests.series_rows import decode_hour

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400
FIRST_DAY = 20_208

samples = st.builds(
    lambda second, device, energy, location: Reading(
        timestamp=(EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S"),
        device_id=device,
        energy_consumed=energy,
        location=location,
    ),
    st.integers(DAY * FIRST_DAY, DAY * (FIRST_DAY + 6) - 1),
    st.sampled_from(["a", "ab", "é"]),
    st.one_of(
        st.integers(-5, 10**9),
        st.integers(-(10**6), 10**6).map(lambda number: Decimal(2 * number + 1) / 2),
        st.just(10**300),
    ),
    st.sampled_from(["", "Hall", "x\0y"]),
)


class Step(NamedTuple):
    """A commit: of some readings, on a day by the clock, by an owner that keeps so many days."""

    readings: list[Reading]
    today: int
    keep_days: int
    is_new_owner: bool


steps = st.lists(
    st.builds(
        Step,
        st.lists(samples, max_size=12),
        st.integers(FIRST_DAY, FIRST_DAY + 8),
        st.sampled_from([0, 1, 3]),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


class Partition:
    """A store in a dictionary, and what commits into it, by the worker's own protocol."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.now = 0.0
        self._own(Marker(-1), 0)

    def _own(self, marker: Marker, keep_days: int) -> None:
        self.fold = PartitionFold(
            ENERGY_SERIES, 0, marker, keep_days=keep_days, clock=lambda: self.now
        )

    def commit(self, step: Step, look: int) -> None:
        """Commit a step, looking at so many places of the store."""
        self.now = step.today * DAY + 1.0
        if step.is_new_owner:
            self._own(self.fold.marker, step.keep_days)
        fold = self.fold
        ENERGY_SERIES.fold(step.readings, fold.pending.deltas)
        fold.pending.counted += len(step.readings)
        fold.folded_offset += len(step.readings)
        going = commit_steps(fold, fold.take(), fold.folded_offset)
        answer: Any = None
        while True:
            try:
                effect = going.send(answer)
            except StopIteration:
                return
            answer = self._do(effect, look)

    def _do(self, effect: Any, look: int) -> Any:
        match effect:
            case ReadStore(keys):
                return [self.rows.get(key) for key in keys]
            case ReadOld(asked):
                return self._look(asked.start, asked.look_on, look)
            case WriteTransaction(transaction):
                assert transaction.updates[-1][0] == MARKER_KEY
                return 0
            case WriteStore(updates, _):
                for key, value in updates[:-1]:
                    if value is None:
                        del self.rows[key]
                    else:
                        self.rows[key] = value
                marker = decode_marker(updates[-1][1] or b"")
                assert marker.counted == ENERGY_SERIES.readings(self.rows.items())
        return None

    def _look(self, start: bytes, look_on: Any, looks: int) -> Found:
        found, at = [], start
        for _ in range(looks):
            key = min((key for key in self.rows if key >= at), default=None)
            if key is None:
                return Found(found, None)
            following = look_on(key)
            if following is None:
                found.append((key, self.rows[key]))
            at = key + b"\0" if following is None else following
        return Found(found, at)


def sums(readings: list[Reading], *, before: int) -> dict[Any, Any]:
    """By device, location and quarter (-1: before this second): sum, number, first, last."""
    found: dict[Any, list[Any]] = defaultdict(lambda: [Decimal(0), 0, 1 << 62, -1])
    with localcontext(EXACT):
        for each in readings:
            moment = datetime.fromisoformat(each.timestamp).replace(tzinfo=UTC)
            second = int(moment.timestamp())
            quarter = -1 if second < before else second // 900
            cell = found[each.device_id, each.location, quarter]
            cell[0] += each.energy_consumed
            cell[1:] = cell[1] + 1, min(cell[2], second), max(cell[3], second)
    return {key: cell if key[2] == -1 else cell[:2] for key, cell in found.items()}


def sums_of_rows(rows: dict[bytes, bytes]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in rows.items():
        assert ENERGY_SERIES.is_row(value)
        device, hour, location = decode_key(key)
        if hour == BEFORE:
            row = decode_before(value)
            found[device, location, -1] = [row.total, row.readings, row.first, row.last]
            continue
        for place, (total, readings) in enumerate(decode_hour(value).quarters):
            if readings:
                found[device, location, 4 * hour + place] = [total, readings]
    return found


@settings(max_examples=150, deadline=None)
@given(steps=steps, look=st.integers(1, 6))
def test_what_is_old_is_before_and_all_sums_stay(steps: list[Step], look: int) -> None:
    partition, plain = Partition(), Partition()
    readings: list[Reading] = []
    expected = cutoff = days = 0
    for step in steps:
        partition.commit(step, look)
        plain.commit(step._replace(keep_days=0), look)
        readings += step.readings
        days = step.keep_days if step.is_new_owner else days
        if days:
            expected = max(expected, (step.today - days) * 24)
        cutoff = partition.fold.marker.cutoff
        assert cutoff == expected
        # However far it has come, it is what is asked for up to the cutoff.
        assert dict(rolled_up(sorted(partition.rows.items()), cutoff)) == dict(
            rolled_up(sorted(plain.rows.items()), cutoff)
        )
        totals = ENERGY_SERIES.amount, partition.rows.values(), plain.rows.values()
        assert total_of(*totals[:2]) == total_of(totals[0], totals[2])
    idle = Step([], 0, 0, False)
    for _ in range(400):
        if partition.fold.roll_up is None or not partition.fold.roll_up.is_due():
            break
        partition.commit(idle._replace(today=FIRST_DAY), look)
    else:
        raise AssertionError("it never ends")
    assert sums_of_rows(partition.rows) == sums(readings, before=3_600 * cutoff)
    assert not cutoff or not any(BEFORE < decode_key(key).hour < cutoff for key in partition.rows)


@settings(max_examples=30, deadline=None)
@given(steps=steps, look=st.integers(1, 6))
def test_the_judge_of_long_runs_knows_what_is_before(steps: list[Step], look: int) -> None:
    partition = Partition()
    log, totals = new_cells(), {}
    for step in steps:
        partition.commit(step, look)
        for each in step.readings:
            cell = log[0, each.device_id, each.location, quarter_of(each.timestamp)]
            cell[0] += Fraction(each.energy_consumed)
            cell[1] += 1
    for device in {device for _, device, _, _ in log}:
        parts = [cell for key, cell in log.items() if key[1] == device]
        energy, count = sum(part[0] for part in parts), sum(part[1] for part in parts)
        with localcontext(EXACT):
            exact = Decimal(energy.numerator) / energy.denominator
        totals[device.encode()] = b"1 %d %b" % (count, format(exact, "f").encode())
    rows = partition.rows | {MARKER_KEY: encode_marker(partition.fold.marker)}
    found = series_verdict(SimpleNamespace(last=[rows]), [totals], log)
    assert (found["I18"], found["I19"]) == (0, 0)
    for key in partition.rows:
        lacking = {other: value for other, value in rows.items() if other != key}
        found = series_verdict(SimpleNamespace(last=[lacking]), [totals], log)
        assert found["I18"] > 0
        assert found["I19"] > 0


def total_of(amount: Any, rows: Any) -> tuple[Decimal, int]:
    with localcontext(EXACT):
        parts = [amount(row) for row in rows]
        return sum((Decimal(part[0]) for part in parts), Decimal(0)), sum(p[1] for p in parts)
