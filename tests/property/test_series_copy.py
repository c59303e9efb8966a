"""The reader's copy of a series answers as a dictionary does, whatever the commits were."""

import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.view.copy.commit import Commit
from api.view.series import Filter, Period
from api.view.series_copy.copy import SeriesCopy
from api.view.series_copy.snapshot import SeriesSnapshot
from contract.before_rows import Before, encode_before
from contract.changelog import Marker
from contract.decimals import Number
from contract.hour_rows import BEFORE, HourKey, encode_key
from tests.series_reference import SeriesReference
from tests.series_rows import Hour, Quarter, encode_hour

MAP_BYTES = 64_000_000
DAY = 20_208
DEVICES = ["a", "b", "ß" * 128, "device_7", "device_70"]
LOCATIONS = ["", "\0", "Living Room", "Living Room\0", "é" * 128]

QUARTERS_OF_DAYS = st.integers(96 * (DAY - 1) - 50, 96 * (DAY + 3) + 50)
NUMBERS = st.one_of(
    st.integers(-300, 300),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**63 - 1, -(2**63), 2**31, -(2**15) - 1]),
    st.decimals(-1000, 1000, places=3).filter(lambda number: number != number.to_integral_value()),
    st.sampled_from([Decimal("1" + "0" * 300 + ".5"), Decimal("-0." + "0" * 300 + "1")]),
).map(lambda number: number.normalize() if isinstance(number, Decimal) else number)


@st.composite
def hours(draw: st.DrawFn) -> bytes | None:
    """A row's value, or None for one that is removed."""
    if draw(st.integers(0, 5)) == 0:
        return None
    present = draw(st.integers(1, 15))
    quarters = tuple(
        Quarter(plain(draw(NUMBERS)), draw(st.integers(1, 70_000)))
        if present >> place & 1
        else Quarter(0, 0)
        for place in range(4)
    )
    return row(quarters, draw(st.integers(0, 449)))


def row(quarters: tuple[Quarter, ...], margin: int) -> bytes:
    """A row whose first and last reading are so many seconds from the edge of their quarters."""
    present = [place for place, quarter in enumerate(quarters) if quarter.readings]
    first, last = 900 * present[0] + margin, 900 * present[-1] + 899 - margin
    return encode_hour(Hour(first, last, quarters))  # type: ignore[arg-type]


def plain(number: Number) -> Number:
    """An integer as one."""
    return int(number) if number == int(number) else number


@st.composite
def befores(draw: st.DrawFn) -> bytes | None:
    """A row of what is before, or None for one that is removed."""
    if draw(st.integers(0, 5)) == 0:
        return None
    first, last = sorted([draw(SECONDS_BEFORE), draw(SECONDS_BEFORE)])
    return encode_before(Before(first, last, draw(st.integers(1, 70_000)), plain(draw(NUMBERS))))


SECONDS_BEFORE = st.integers(86_400 * (DAY - 400), 86_400 * (DAY + 1))
BEFORE_KEYS = st.builds(
    HourKey, st.sampled_from(DEVICES), st.just(BEFORE), st.sampled_from(LOCATIONS)
).map(encode_key)
KEYS = st.builds(
    HourKey,
    st.sampled_from(DEVICES),
    st.integers(24 * DAY, 24 * (DAY + 3) - 1),
    st.sampled_from(LOCATIONS),
).map(encode_key)
COMMITS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.builds(
            lambda hour_rows, before_rows: hour_rows | before_rows,
            st.dictionaries(KEYS, hours(), max_size=8),
            st.dictionaries(BEFORE_KEYS, befores(), max_size=3),
        ),
    ),
    max_size=8,
)
FILTERS = st.builds(
    Filter,
    st.none() | st.lists(st.sampled_from([*DEVICES, "nobody"]), max_size=4),
    st.none() | st.lists(st.sampled_from([*LOCATIONS, "nowhere"]), max_size=4),
)


@contextmanager
def new_copy() -> Iterator[SeriesCopy]:
    """A copy in a directory of its own."""
    with tempfile.TemporaryDirectory() as directory:
        copy = SeriesCopy.open(Path(directory) / "view", "birth", map_bytes=MAP_BYTES)
        try:
            yield copy
        finally:
            copy.close()


def write(
    copy: SeriesCopy,
    reference: SeriesReference,
    commits: list[tuple[int, Mapping[bytes, bytes | None]]],
    size: int,
) -> None:
    """Write commits to both, `size` of them at once to the copy."""
    for partition, rows in commits:
        reference.write(partition, rows)
    numbered = [
        Commit(partition, rows, Marker(at), at + 1) for at, (partition, rows) in enumerate(commits)
    ]
    for at in range(0, len(numbered), size):
        copy.write(numbered[at : at + size])


def check(
    series: SeriesSnapshot,
    reference: SeriesReference,
    edges: list[int],
    period: Period | None,
    only: Filter,
) -> None:
    """Ask both all questions."""
    assert series.extent(only) == reference.extent(only)
    assert series.by_device(period, only) == reference.by_device(period, only)
    assert series.by_location(period, only) == reference.by_location(period, only)
    for device_id in [*DEVICES, "nobody"]:
        assert series.device(device_id, only) == reference.device(device_id, only)
    for by_device in (False, True):
        for by_location in (False, True):
            asked = {"by_device": by_device, "by_location": by_location}
            found = list(series.groups(edges, only, **asked))
            assert found == list(reference.groups(edges, only, **asked))


@settings(max_examples=80, deadline=None)
@given(
    commits=COMMITS,
    size=st.integers(1, 8),
    edges=st.lists(QUARTERS_OF_DAYS, min_size=2, max_size=6, unique=True).map(sorted),
    period=st.none() | st.tuples(QUARTERS_OF_DAYS, QUARTERS_OF_DAYS).map(sorted),
    only=FILTERS,
)
def test_answers_are_those_of_a_dictionary(
    commits: list[tuple[int, dict[bytes, bytes | None]]],
    size: int,
    edges: list[int],
    period: list[int] | None,
    only: Filter,
) -> None:
    reference = SeriesReference()
    with new_copy() as copy:
        write(copy, reference, commits, size)
        with copy.snapshot() as series:
            asked = None if period is None else Period(*period)
            check(series, reference, edges, asked, only)
            check(series, reference, edges, asked, Filter())


def random_rows(chance: random.Random, count: int) -> dict[bytes, bytes | None]:
    """Rows of 40 devices and 6 places in 20 days; one in ten is removed."""
    rows: dict[bytes, bytes | None] = {}
    for _ in range(count):
        device = chance.randrange(40)
        place = device % 6 if chance.random() < 0.9 else chance.randrange(6)
        key = encode_key(HourKey(f"d{device}", 24 * DAY + chance.randrange(480), f"place {place}"))
        quarters = tuple(
            Quarter(chance.randrange(-500, 5000), chance.randrange(1, 400))
            if chance.random() < 0.8
            else Quarter(0, 0)
            for _ in range(4)
        )
        is_removed = chance.random() < 0.1 or not any(each.readings for each in quarters)
        rows[key] = None if is_removed else row(quarters, chance.randrange(450))
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_many_rows_of_many_devices_and_days(seed: int) -> None:
    chance = random.Random(seed)
    reference = SeriesReference()
    commits: list[tuple[int, Mapping[bytes, bytes | None]]] = [
        (chance.randrange(3), random_rows(chance, 150)) for _ in range(20)
    ]
    start, end = 96 * DAY, 96 * (DAY + 20)
    with new_copy() as copy:
        write(copy, reference, commits, chance.choice([1, 3, 20]))
        for _ in range(8):
            edges = sorted(chance.sample(range(start - 20, end + 20), chance.randrange(2, 12)))
            period = Period(*sorted(chance.sample(range(start, end), 2)))
            only = chance.choice([Filter(), Filter(["d3", "d9"]), Filter(None, ["place 2"])])
            with copy.snapshot() as series:
                check(series, reference, edges, period, only)
                check(series, reference, list(range(start, end, 96)), None, only)


def test_the_order_and_the_cut_of_commits_leave_no_trace() -> None:
    chance = random.Random(4)
    rows = [(partition, random_rows(chance, 200)) for partition in range(3)]
    answers = []
    for size, order in ((1, (0, 1, 2)), (1, (2, 1, 0)), (3, (1, 2, 0))):
        with new_copy() as copy:
            write(copy, SeriesReference(), [rows[at] for at in order], size)
            with copy.snapshot() as series:
                answers.append(
                    (series.by_device(None, Filter()), series.by_location(None, Filter()))
                )
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0]
