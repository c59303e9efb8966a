"""The benchmark's table says what was measured."""

import pytest

from tests.benchmarks import stages
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


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9])
def test_the_share_of_bad_records_is_the_one_asked_for(share: float) -> None:
    made = [value for _, value in records(Shape(readings=1_000, devices=5, bad=share), {})]
    assert sum(b'"x' in value for value in made) == pytest.approx(1_000 * share, abs=1)


def test_the_stages_count_every_reading_and_add_up() -> None:
    table = stages.run(Shape(readings=5_000, devices=50), rounds=1)
    whole, *each = (figure.median for figure in table.figures)
    assert len(each) == len(stages.STAGES)
    assert whole == pytest.approx(sum(each))
    # 50 devices, and the marker.
    assert f"{51 / 5_000:.3f} changelog records" in table.figures[0].note
