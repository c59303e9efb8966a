"""Sums that were asked for are kept until one of their days changes, and within a bound."""

from api.view.series import Period
from api.view.series_copy.kept_sums import KeptSums

FIRST, SECOND = Period(0, 96), Period(96, 192)


class Asker:
    """Counts how often sums are computed."""

    def __init__(self, kept: int = 100) -> None:
        self.kept = KeptSums(kept)
        self.computed = 0

    def ask(self, period: Period, transaction: int, size: int = 1) -> list[int]:
        def compute() -> list[int]:
            self.computed += 1
            return [transaction] * size

        return self.kept.get("devices", period, transaction, compute)


def test_a_period_is_computed_again_only_where_one_of_its_days_changed() -> None:
    asker = Asker()
    assert asker.ask(FIRST, 1) == asker.ask(SECOND, 1) == [1]
    asker.kept.change([1], 2)
    assert asker.ask(FIRST, 2) == [1]
    assert asker.ask(SECOND, 2) == [2]
    assert asker.computed == 3
    asker.kept.change_all(3)
    assert asker.ask(FIRST, 3) == [3]


def test_an_older_snapshot_never_gets_newer_sums_nor_replaces_them() -> None:
    asker = Asker()
    asker.kept.change([0], 5)
    assert asker.ask(FIRST, 5) == [5]
    assert asker.ask(FIRST, 4) == [4]
    assert asker.ask(FIRST, 6) == [5]


def test_what_a_transaction_under_way_changes_is_not_served_from_before_it() -> None:
    asker = Asker()
    assert asker.ask(FIRST, 4) == [4]
    asker.kept.change([0], 5)
    assert asker.ask(FIRST, 5) == [5]


def test_what_was_asked_for_longest_ago_is_dropped_first() -> None:
    asker = Asker(kept=10)
    for period in (FIRST, SECOND, FIRST, Period(0, 192)):
        asker.ask(period, 1, size=4)
    assert asker.computed == 3
    asker.ask(FIRST, 1, size=4)
    assert asker.computed == 3
    asker.ask(SECOND, 1, size=4)
    assert asker.computed == 4
    asker.ask(Period(0, 1), 1, size=11)
    asker.ask(Period(0, 1), 1, size=11)
    assert asker.computed == 6
