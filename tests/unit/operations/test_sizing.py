"""`energy sizing`: what follows from the measured figures, and what the document shows of it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import msgspec
import pytest

from cli import app as cli
from operations.sizing.estimate import Estimate, Workload, estimate
from operations.sizing.figures import FIGURES
from tests.benchmarks.sizing import SIZES, WITHIN, kept, off_by

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "SIZING.md").read_text(encoding="utf-8")
HOME = Workload(devices=10_000, rate=1_000, retention_days=365, series_days=365)


def changed(**what: float) -> dict[str, float]:
    """Return by how much each figure of the estimate grows with this."""
    before, after = (
        msgspec.to_builtins(estimate(each))
        for each in (HOME, msgspec.structs.replace(HOME, **what))
    )
    return {name: after[name] / before[name] for name in before if after[name] != before[name]}


def test_twice_the_days_of_readings_are_twice_their_log_and_nothing_else() -> None:
    assert changed(retention_days=730) == {"readings_log": pytest.approx(2)}


def test_days_of_the_series_are_paid_for_where_it_is_kept() -> None:
    grown = changed(series_days=730)
    assert set(grown) == {"series_changelog", "worker_store", "reader_copy"}
    assert grown["series_changelog"] == pytest.approx(2)
    assert all(1.5 < factor <= 2.001 for factor in grown.values())


def test_without_a_series_nothing_is_taken_for_it() -> None:
    found = estimate(msgspec.structs.replace(HOME, series_days=0))
    assert found.series_changelog == 0
    for taken, what in ((found.worker_store, "store"), (found.reader_copy, "copy")):
        totals = HOME.devices * FIGURES[f"{what} bytes a total"].value
        assert taken == totals + FIGURES[f"{what} bytes at least"].value
    assert found.changelog_heads < estimate(HOME).changelog_heads


def test_a_device_has_no_more_hours_than_readings_and_no_more_than_there_are() -> None:
    seldom = Workload(devices=100_000, rate=1, retention_days=100, series_days=100)
    # 86 readings of 100,000 devices in a day: each is an hour of its own.
    assert seldom.devices * seldom.per_device(24) == pytest.approx(100 * 86_400)
    assert HOME.per_device(24) == 24 * 365
    assert HOME.per_device(96) == 96 * 365


def test_memory_follows_devices_and_cores_follow_the_rate() -> None:
    assert {"worker_memory", "api_memory"} <= set(changed(devices=1_000_000))
    assert set(changed(rate=100_000)) >= {"worker_cores", "api_cores", "broker_cores"}


def test_the_calculator_is_near_three_installations_that_were_measured() -> None:
    assert len(SIZES) == 3
    off = {size.devices: off_by(size, kept()[size.devices]) for size in SIZES}
    assert all(len(values) == 7 for values in off.values())
    too_far = {
        (devices, name): f"{share:+.0%}"
        for devices, values in off.items()
        for name, share in values.items()
        if abs(share) > WITHIN
    }
    assert too_far == {}


def test_every_figure_is_used_and_says_what_measures_it() -> None:
    source = (ROOT / "operations" / "sizing" / "estimate.py").read_text()
    for name, figure in FIGURES.items():
        assert f'f["{name}"]' in source, name
        assert figure.value > 0
        module = re.search(r"python -m (tests\.benchmarks\.\w+)", figure.source)
        if module is not None:
            assert (ROOT / f"{module[1].replace('.', '/')}.py").exists()
        elif not figure.source.startswith("energy bench"):
            assert (ROOT / figure.source).exists(), figure.source


def test_what_kafka_may_not_compact_is_what_the_topics_declare() -> None:
    from contract.device_totals import DEVICE_TOTALS

    configs = DEVICE_TOTALS.changelog(1).configs
    waits = int(configs["min.compaction.lag.ms"]) + int(configs["segment.ms"])
    assert FIGURES["seconds until compaction"].value == waits / 1000


def test_the_document_shows_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.findall(r"^\$ energy (sizing .+)\n((?:(?!```|\$).*\n)+)", DOCUMENT, re.MULTILINE)
    assert len(shown) >= 3
    for command, output in shown:
        assert cli.run(shlex.split(command), {}) == 0
        assert capsys.readouterr().out == output, command


def test_the_document_has_every_figure() -> None:
    rows = dict(re.findall(r"^\| ([^|]+) \| ([0-9,.]+) \|", DOCUMENT, re.MULTILINE))
    assert {name: float(value.replace(",", "")) for name, value in rows.items()} == {
        name: figure.value for name, figure in FIGURES.items()
    }


def test_json_has_the_whole_estimate_and_all_copies(capsys: pytest.CaptureFixture[str]) -> None:
    command = "sizing --devices 10000 --rate 1000 --retention-days 365 --replication 2 --json"
    assert cli.run(command.split(), {}) == 0
    found = json.loads(capsys.readouterr().out)
    disk = found.pop("kafka_disk")
    assert msgspec.convert(found, Estimate) == estimate(HOME)
    assert disk == 2 * estimate(HOME).kafka_disk()


@pytest.mark.parametrize("wrong", ["--devices 0", "--rate -1", "--series maybe"])
def test_what_makes_no_sense_is_wrong_use(wrong: str) -> None:
    command = f"sizing --devices 1 --rate 1 --retention-days 1 {wrong}"
    assert cli.run(command.split(), {}) == 2
