"""A chunk of timestamps is judged as each of them is, and as datetime sees them."""

from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.timestamps import are_plain_timestamps, faulty_timestamps, timestamp_fault
from tests import oracle
from tests.values import value_of


def seconds(first: datetime, last: datetime) -> st.SearchStrategy[str]:
    """Every second from the first to the last, in the plain form."""
    return st.integers(int(first.timestamp()), int(last.timestamp())).map(
        lambda at: (EPOCH + timedelta(seconds=at)).strftime("%Y-%m-%d %H:%M:%S")
    )


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLAIN = seconds(datetime(1960, 1, 1, tzinfo=UTC), datetime(2115, 12, 31, tzinfo=UTC))
REAL = seconds(EPOCH, datetime(2105, 12, 31, 23, 59, 59, tzinfo=UTC))
DIGITS = "0123456789"


@st.composite
def shaped(draw: st.DrawFn) -> str:
    """Digits in the right places, out of range as often as not."""
    numbers = [draw(st.sampled_from(["19", "20", "21", "00", "99"])), draw(st.integers(0, 99))]
    numbers += [draw(st.integers(0, limit)) for limit in (13, 32, 25, 61, 61)]
    century, *rest = numbers
    return "{}{:02}-{:02}-{:02}{}{:02}:{:02}:{:02}{}".format(
        century,
        *rest[:3],
        draw(st.sampled_from(" T")),
        *rest[3:],
        draw(st.sampled_from(["", "", "Z", ".5", "+18:00", "-18:00", "+01:30", "+18:01", "z"])),
    )


@st.composite
def damaged(draw: st.DrawFn) -> str:
    text = draw(REAL | shaped())
    start = draw(st.integers(0, len(text)))
    cut = draw(st.integers(0, 2))
    piece = draw(st.text(alphabet=DIGITS + "-: TZ\n.+²٣é", max_size=2))
    return text[:start] + piece + text[start + cut :]


TEXT = st.one_of(PLAIN, REAL, shaped(), damaged(), st.text(max_size=25))


@settings(max_examples=1500, deadline=None)
@given(TEXT)
def test_one_timestamp_is_judged_as_the_oracle_does(text: str):
    quoted = value_of(timestamp='"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
    if any(ord(character) < 0x20 for character in text):
        assert timestamp_fault(text) is not None
    else:
        assert (timestamp_fault(text) is None) == (oracle.judge(quoted) is not None)


@settings(max_examples=1500, deadline=None)
@given(st.lists(REAL, max_size=3), TEXT, st.lists(REAL, max_size=3))
@example([], "2025-04-30 10:11:2\n", ["X" + "2025-04-30 10:11:21"])
@example([], "2025-04-30 10:11:21Z", ["2025-04-30 10:11:21"])
@example([], "2025-04-30 10:11:21ZZ", [])
@example([], "", [])
def test_a_chunk_that_is_plain_has_no_fault(before: list[str], text: str, after: list[str]):
    texts = [*before, text, *after]
    if are_plain_timestamps(texts):
        assert [timestamp_fault(each) for each in texts] == [None] * len(texts)


@settings(max_examples=500, deadline=None)
@given(st.lists(REAL, max_size=100))
def test_real_timestamps_of_one_form_are_plain(texts: list[str]):
    assert are_plain_timestamps(texts) == bool(texts)
    assert are_plain_timestamps([text + "Z" for text in texts]) == bool(texts)


@settings(max_examples=300, deadline=None)
@given(st.lists(REAL, max_size=200), st.dictionaries(st.integers(0, 200), TEXT, max_size=5))
@example(["2025-04-30 10:11:21"] * 200, {100: "2025-04-30 10:11:2\n", 101: "12025-04-30 10:11:21"})
def test_each_fault_in_a_chunk_is_found(texts: list[str], odd: dict[int, str]):
    for place, text in odd.items():
        texts.insert(place, text)
    assert faulty_timestamps(texts) == [
        place for place, text in enumerate(texts) if timestamp_fault(text)
    ]


def test_every_day_of_the_accepted_years_is_plain_and_no_other():
    first, days = datetime(1970, 1, 1, tzinfo=UTC), 49_673
    every = [(first + timedelta(days=day)).strftime("%Y-%m-%d 00:00:00") for day in range(days)]
    assert every[-1].startswith("2105-12-31")
    assert are_plain_timestamps(every)
    real = {text[:10] for text in every}
    for year in (1900, 1969, 1970, 2000, 2023, 2024, 2099, 2100, 2104, 2105, 2106):
        for month in range(14):
            for day in range(33):
                date = f"{year}-{month:02}-{day:02}"
                text = f"{date} 12:00:00"
                assert are_plain_timestamps([text]) == (date in real), text
                assert (timestamp_fault(text) is None) == (date in real), text
