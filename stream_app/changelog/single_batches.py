"""What this process knows of single batches: refused by a config, or proven broker by broker.

fence.py asks it, and nothing else does; docs/SINGLE_BATCHES.md is the argument.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from stream_app import metrics

log = logging.getLogger(__name__)

#: How long Kafka must remember an idle producer: far longer than a batch is in flight.
REMEMBERED_MS = 3_600_000
PROBE_SECONDS = 10.0
_EXPIRATIONS = ("producer.id.expiration.ms", "transactional.id.expiration.ms")
_STAMPS = "message.timestamp.type"


def refused_by_configs(
    brokers: Mapping[str, Mapping[str, str]], changelogs: Mapping[str, Mapping[str, str]]
) -> str | None:
    """Say which config does not allow single batches, or does not show that it does; else None.

    A log that forgets a producer takes its old batches; it forgets by the stamps of batches,
    which must be its own and not of a worker's clock.
    """
    if not brokers:
        return "the brokers do not show their configs to this login"
    for broker, found in sorted(brokers.items()):
        for name in _EXPIRATIONS:
            value = found.get(name, "")
            if not value.isdecimal():
                return f"broker {broker} does not show {name}"
            if int(value) < REMEMBERED_MS:
                return f"broker {broker}: {name} is {value}, less than {REMEMBERED_MS}"
    for changelog, found in sorted(changelogs.items()):
        if found.get(_STAMPS) != "LogAppendTime":
            return (
                f"{changelog}: {_STAMPS} is {found.get(_STAMPS, 'not shown')}; set it to"
                " LogAppendTime (kafka-configs.sh --alter)"
            )
    return None


class NotProven(Exception):
    """A log does not do what single batches need."""


class SingleBatches:
    """What this process knows of single batches: refused, or proven broker by broker."""

    def __init__(self, refused_because: str | None, *, is_off: bool = False) -> None:
        """Nothing is proven yet; `refused_because` is what the configs say."""
        self._refused = "STREAM_APP_SINGLE_BATCHES is off" if is_off else refused_because
        #: Whether a worker with another setting could have written single batches.
        self.are_possible = refused_because is None
        #: By broker: None where its logs have proven to refuse fenced writers, else why not.
        self._verdicts: dict[int, str | None] = {}
        self._being_probed: set[int] = set()

    def __str__(self) -> str:
        """Say for people whether they are used, and if not, why."""
        if self._refused is not None:
            return f"not used: {self._refused}"
        if not self._verdicts:
            return "not used: not probed yet"
        bad = [f"broker {b}: {why}" for b, why in sorted(self._verdicts.items()) if why is not None]
        return "not used: " + "; ".join(bad) if bad else "used"

    def configs_judged(self, refused_because: str | None) -> None:
        """Take in what the configs say now: they may refuse single batches, until a restart."""
        self.are_possible = self.are_possible or refused_because is None
        if refused_because is None or self._refused is not None:
            return
        self._refused = refused_because
        for leader in list(self._verdicts):
            metrics.SINGLE_BATCHES_PROVEN.labels(str(leader)).set(False)
        log.warning("single batches: %s", self)

    def is_proven(self, leader: int | None) -> bool:
        """Return whether the logs of this broker refuse fenced writers."""
        return self._refused is None and self._verdicts.get(leader, "") is None  # type: ignore[arg-type]

    async def prove(self, leader: int | None, probe: Callable[[], Awaitable[None]]) -> None:
        """Probe a broker that is not known yet; whatever is not proven stays with transactions.

        A broker that has not proven it is asked again at the next takeover. A fence that is
        cancelled waits for its probe: cut off, that would leave a transaction to be aborted later.
        """
        if self._refused is not None or leader is None or leader < 0 or self.is_proven(leader):
            return
        if leader in self._being_probed:
            return
        self._being_probed.add(leader)
        probing = asyncio.create_task(self._probe(leader, probe))
        try:
            await asyncio.shield(probing)
        except asyncio.CancelledError:
            await asyncio.wait([probing])
            raise

    async def _probe(self, leader: int, probe: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await probe()
            self._verdicts[leader] = None
        except Exception as error:
            self._verdicts[leader] = str(error) or f"no answer in {PROBE_SECONDS:g} s"
        finally:
            self._being_probed.discard(leader)
        metrics.SINGLE_BATCHES_PROVEN.labels(str(leader)).set(self.is_proven(leader))
        log.info("single batches on logs of broker %d: %s", leader, self)
