"""The benchmark's table says what was measured."""

from tests.benchmarks.dataset import Shape, records
from tests.benchmarks.figures import Figure, Table, percentile

TABLE = Table(
    "two",
    (
        Figure("ours", "readings/s", (900.0, 1000.0, 1100.0)),
        Figure("peer", "readings/s", (250.0, 200.0, 300.0), "slow"),
    ),
)


def test_median_spread_and_ratio_are_of_the_samples() -> None:
    ours, peer = TABLE.figures
    assert (ours.median, peer.median) == (1000.0, 250.0)
    assert ours.spread == 0.2
    assert TABLE.ratio(peer) == 4.0


def test_another_unit_has_no_ratio() -> None:
    assert TABLE.ratio(Figure("start", "s", (2.0,))) is None


def test_the_table_shows_each_figure_in_a_line_of_equal_width() -> None:
    lines = TABLE.as_text().splitlines()[2:]
    assert len({len(line) for line in lines}) == 1
    assert "1,000 readings/s" in lines[2]
    assert "| 4 " in lines[3]


def test_a_percentile_of_few_values_is_one_of_them() -> None:
    assert percentile([1.0, 2.0, 3.0], 0.99) == 3.0


def test_the_same_seed_gives_the_same_records_and_totals() -> None:
    first: dict[str, int] = {}
    second: dict[str, int] = {}
    shape = Shape(readings=100, devices=5, bad=0.1)
    assert list(records(shape, first)) == list(records(shape, second))
    assert first == second
