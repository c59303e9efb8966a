"""The benchmark's table says what was measured."""

from pathlib import Path

import pytest

from tests.benchmarks import builds, catch_up, stages
from tests.benchmarks.contenders import FAUST, LOOP, OURS, PEERS_BY_NAME, QUIX
from tests.benchmarks.dataset import Shape, records
from tests.benchmarks.figures import Figure, Table, percentile
from tests.benchmarks.rounds import Round

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


def test_fewer_readings_of_a_shape_are_its_first_ones() -> None:
    whole, first = (list(records(Shape(readings, devices=5), {})) for readings in (100, 30))
    assert first == whole[:30]


def test_only_a_slow_peer_is_given_fewer_readings() -> None:
    assert [peer.given(10**9) for peer in (OURS, LOOP)] == [10**9] * 2
    assert QUIX.given(10**9) == QUIX.most_readings < 10**9
    assert FAUST.given(10) == 10


def test_a_row_says_how_many_readings_its_rate_is_of() -> None:
    done = Round(readings_per_second=2_000.0, cpu_seconds=50.0, largest_rss_mib=7, output_records=9)
    row = catch_up.figure(FAUST, [done], readings=100_000)
    assert row.note == "100,000 readings, 1.0 cores, 7 MiB, 9 output records"


def test_the_totals_of_each_peer_are_found_by_device() -> None:
    assert PEERS_BY_NAME["quix"].key_of("device_1") == b'device_1|"total"'
    assert PEERS_BY_NAME["faust"].key_of("device_1") == b"device_1"
    assert (QUIX.total_of(b"12"), FAUST.total_of(b"12")) == (12, 12)


def test_what_a_peer_is_built_from_names_the_build(tmp_path: Path) -> None:
    source = tmp_path / "lock"
    ages = [source.write_text(text) and builds.age([source]) for text in ("a", "b", "a")]
    assert ages[0] == ages[2] != ages[1]


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
