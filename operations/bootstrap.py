"""Makes a cluster ready for workers: its topics, then the birth of the first view version."""

from __future__ import annotations

from typing import NamedTuple

from kafka_io.cluster_changes import ClusterAdmin
from operations.settings import TopicSettings
from operations.topics import declared as topics
from operations.topics.declared import Difference
from operations.views import adoption
from operations.views import birth as births


class Prepared(NamedTuple):
    """What was made, what differs, and which view version is live (None: not begun)."""

    created: list[str]
    differences: list[Difference]
    view_version: int | None
    is_born_now: bool


def prepare(
    cluster: ClusterAdmin,
    settings: TopicSettings,
    *,
    accept_partial: bool = False,
    adopting: int | None = None,
) -> Prepared:
    """Make what is missing; safe to repeat, and from several terminals at once.

    `adopting` is the view version to make live where `energy_views` has lost it.
    Raises: SettingError, NoBroker, ClusterRefused; Refused: a person must look.
    """
    created, differences = topics.create(cluster, settings, adopting=adopting)
    if topics.has_other_partitions(differences):
        return Prepared(created, differences, None, False)
    if adopting is not None:
        adoption.adopt(cluster, adopting)
    views, is_born_now = births.ensure_first_view(
        cluster, topics.FIRST_VIEW_VERSION, accept_partial=accept_partial
    )
    return Prepared(created, differences, views.live, is_born_now)
