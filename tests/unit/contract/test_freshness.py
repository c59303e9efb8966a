"""How ages are counted."""

from __future__ import annotations

from contract.freshness import AGE_BOUNDS, Ages


def test_ages_are_counted_up_to_their_bound_and_in_all_above() -> None:
    ages = Ages()
    ages.add(0.001, 3)
    ages.add(0.0011, 2)
    ages.add(59.0, 1)
    ages.add(61.0, 4)
    buckets = dict(ages.buckets())
    assert len(buckets) == len(AGE_BOUNDS) + 1
    assert [buckets[bound] for bound in ("0.001", "0.0025", "30.0", "60.0", "+Inf")] == [
        *(3, 5, 5, 6),
        10,
    ]
    assert ages.sum_seconds == 0.001 * 3 + 0.0011 * 2 + 59 + 61 * 4


def test_what_lies_in_the_future_is_not_old() -> None:
    ages = Ages()
    ages.add_since([(2_000, 5), (500, 1)], 1.0)
    assert dict(ages.buckets())["0.001"] == 5
    assert ages.sum_seconds == 0.5
