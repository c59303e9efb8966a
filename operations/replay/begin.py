"""Begins the next view version, or continues with the one that is being built.

Writes: its changelog topic, then its birth. Guarantees: nothing of the live version is touched;
a start that was killed in between is finished by the next one.
"""

from __future__ import annotations

from typing import NamedTuple

from contract.energy_series import ENERGY_SERIES
from contract.topics import VIEWS, app_id
from contract.view_versions import ViewVersion
from contract.views import OnOff, is_known, known_rules, rules_with, views_of
from kafka_io.cluster_changes import ClusterAdmin
from kafka_io.log_reader import read_views
from operations.errors import NO_LIVE_VERSION, Refused
from operations.named_offsets import EARLIEST, start_offsets
from operations.settings import TopicSettings
from operations.topics.declared import create_changelogs
from operations.views.adoption import next_number
from operations.views.birth import give_birth, plan, read_births, verify_births


class Wanted(NamedTuple):
    """What a replay is asked for.

    None: as what is being built; for a new one from the first offset, and as ENERGY_SERIES says.
    """

    begin_at: str | None = None
    series: OnOff | None = None
    accept_partial: bool = False


def begin(
    cluster: ClusterAdmin, settings: TopicSettings, wanted: Wanted
) -> tuple[ViewVersion, bool]:
    """Return the version to build, and whether it is new.

    Raises: Refused: none is live, readings would be left out, or the one that is being built
    is another one than asked for.
    """
    cluster.brokers()
    while True:
        views = read_views(cluster.settings) if VIEWS.name in cluster.topic_names() else None
        if views is None or views.live is None:
            raise Refused(NO_LIVE_VERSION)
        if building := views.in_state("building"):
            _verify(cluster, building[-1], wanted)
            return building[-1], False
        starts = start_offsets(
            cluster, wanted.begin_at or EARLIEST, accept_partial=wanted.accept_partial
        )
        rules_id = settings.rules_id if wanted.series is None else rules_with(wanted.series)
        number = next_number(cluster, views)
        version = ViewVersion(number, "building", len(starts), rules_id)
        create_changelogs(cluster, settings, version)
        born, was_written = give_birth(cluster, plan(cluster, version, starts))
        if was_written:
            return born.versions[number], True


def _verify(cluster: ClusterAdmin, version: ViewVersion, wanted: Wanted) -> None:
    """Check that what is being built is what was asked for."""
    number = version.view_version
    cure = f"`energy replay abort` drops view version {number}"
    if not is_known(version.rules_id):
        raise Refused(
            f"view version {number} is being built with rules {version.rules_id}, this program"
            f" has rules {known_rules()}; {cure}"
        )
    if wanted.series is not None and rules_with(wanted.series) != version.rules_id:
        has = {"on": "without", "off": "with"}[wanted.series]
        raise Refused(f"view version {number} is being built {has} {ENERGY_SERIES.name}; {cure}")
    verify_births(cluster, version)
    if wanted.begin_at is None:
        return
    births = read_births(cluster, views_of(version.rules_id)[0], number, version.partitions)
    began = [births[partition].start_offset for partition in range(version.partitions)]
    asked = start_offsets(cluster, wanted.begin_at, accept_partial=wanted.accept_partial)
    if asked != began:
        shown = ",".join(f"{partition}:{offset}" for partition, offset in enumerate(began))
        raise Refused(f"view version {number} is being built from {shown}; {cure}")


def refuse_a_second(cluster: ClusterAdmin, version: ViewVersion, others: list[str]) -> None:
    """Refuse to build what workers of another terminal build."""
    if others:
        raise Refused(
            f"{', '.join(others)} builds view version {version.view_version} already (group"
            f" {app_id(version.view_version)}); stop it first"
        )
