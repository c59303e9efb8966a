"""One token holds at most its share of what all share."""

import pytest

from api.errors import Busy
from api.http.allowance import Budget


def test_a_token_takes_its_share_and_leaves_the_rest_to_others() -> None:
    budget = Budget(100, 0.5, "bytes of bodies")
    budget.take("greedy", 50)
    with pytest.raises(Busy, match="this token has too many bytes of bodies in flight"):
        budget.take("greedy", 1)
    budget.take("other", 50)
    with pytest.raises(Busy, match="too many bytes of bodies are in flight"):
        budget.take("third", 1)
    budget.give_back("greedy", 50)
    budget.take("third", 1)
    assert budget.taken == 51


def test_what_is_held_is_given_back_whatever_happens() -> None:
    budget = Budget(4, 0.5)
    with budget.hold("a", 2), pytest.raises(Busy):
        budget.take("a")
    with pytest.raises(ValueError, match="broken"), budget.hold("a", 2):
        raise ValueError("broken")
    assert budget.taken == 0
    budget.take("a", 2)


def test_the_smallest_share_is_one_and_idle_tokens_are_forgotten() -> None:
    budget = Budget(2, 0.1)
    for number in range(1_000):
        with budget.hold(f"token {number}"):
            assert budget.taken == 1
    assert not budget._by_token
