"""The benchmark of HTTP reads what its load generator says, and refuses what it does not mean."""

import pytest

from local_stack.errors import MissingPart
from tests.benchmarks import http_rates, wrk
from tests.benchmarks.figures import Figure

LINE = '{"seconds": 2.000000, "answers": {"202": 40}, "p50_us": 500, "p99_us": 900, "errors": 0}'


def test_the_line_is_found_among_what_wrk_prints() -> None:
    load = wrk.read(f"Running 2s test\n  1 threads\n{LINE}\n")
    assert (load.seconds, load.good(202), load.p99_us) == (2.0, 40, 900)


def test_without_the_line_the_error_shows_what_wrk_said() -> None:
    with pytest.raises(RuntimeError, match="unable to connect"):
        wrk.read("unable to connect to 127.0.0.1:1 Connection refused\n")


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace('"202": 40', '"202": 40, "503": 1'),
        LINE.replace('"202": 40', '"429": 40'),
        LINE.replace('"202": 40', ""),
        LINE.replace('"errors": 0', '"errors": 1'),
    ],
)
def test_any_other_answer_or_a_broken_connection_is_no_figure(line: str) -> None:
    with pytest.raises(RuntimeError, match="answers, by status"):
        wrk.read(line).good(202)


def test_a_missing_wrk_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingPart, match="apt install wrk"):
        wrk.find()


def test_a_missed_bound_is_said_and_a_kept_one_is_not() -> None:
    rate = Figure("point reads", "requests/s", (5_000.0, 5_999.0, 7_000.0))
    assert list(http_rates.misses(rate)) == [
        "missed: point reads 5,999 requests/s, wanted at least 6,000"
    ]
    assert not list(http_rates.misses(Figure("point reads, p99", "ms", (19.0,))))
    assert list(http_rates.misses(Figure("point reads, p99", "ms", (21.0,))))
