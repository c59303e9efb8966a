"""A changelog that is compacted under its readers is not shown, and said how to mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from api.view import compaction_lag
from api.view.compaction_lag import require_compaction_lag
from api.view.followed_view import ViewUnusable

TOPIC = "energy-v1-device_totals-changelog"
LAG = "min.compaction.lag.ms"


class Cluster:
    """Answers one after the other, the last one for ever."""

    def __init__(self, *answers: Mapping[str, str] | Exception) -> None:
        self._answers: Iterator[Any] = iter(answers)
        self._last: Any = None
        self.asked = 0

    async def configs(self, connection: Mapping[str, Any], topic: str) -> Mapping[str, str]:
        assert topic == TOPIC
        self.asked += 1
        self._last = next(self._answers, self._last)
        if isinstance(self._last, Exception):
            raise self._last
        found: Mapping[str, str] = self._last
        return found


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction_lag, "CERTAIN_SECONDS", 0.1)
    monkeypatch.setattr(compaction_lag, "_PAUSE_SECONDS", 0.01)


@pytest.mark.parametrize("lag", ["0", "299999"])
async def test_it_is_refused_with_the_command_that_mends_it(lag: str) -> None:
    cluster = Cluster({LAG: lag})
    cure = f"kafka-configs.sh --alter --topic {TOPIC} --add-config {LAG}=300000"
    with pytest.raises(ViewUnusable, match=f"^{TOPIC}: {LAG} is {lag}: .*{cure}$"):
        await require_compaction_lag({}, TOPIC, cluster.configs)
    assert cluster.asked > 1, "a broker that starts may not know it yet"


@pytest.mark.parametrize(
    "answers",
    [
        [{LAG: "300000"}],
        [{LAG: "86400000"}],
        # This login may not see it, or the cluster does not show it.
        [{}],
        [{LAG: "0"}, {LAG: "0"}, {LAG: "300000"}],
        [{LAG: "0"}, KafkaConnectionError("away")],
        [TimeoutError()],
    ],
)
async def test_what_leaves_readers_their_time_or_proves_nothing_is_gone_on_with(
    answers: list[Any],
) -> None:
    cluster = Cluster(*answers)
    await require_compaction_lag({}, TOPIC, cluster.configs)
    assert cluster.asked == len(answers)
