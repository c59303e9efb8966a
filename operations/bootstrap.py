"""Makes a cluster ready for workers: its topics, then the birth of the first view version."""

from __future__ import annotations

from typing import NamedTuple

from kafka_io.cluster_changes import ClusterAdmin
from operations.settings import TopicSettings
from operations.topics.declared import (
    FIRST_VIEW_VERSION,
    Difference,
    create,
    has_other_partitions,
)
from operations.views.adoption import adopt
from operations.views.birth import ensure_first_view


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
    created, differences = create(cluster, settings, adopting=adopting)
    if has_other_partitions(differences):
        return Prepared(created, differences, None, False)
    if adopting is not None:
        adopt(cluster, adopting)
    views, is_born_now = ensure_first_view(
        cluster,
        FIRST_VIEW_VERSION,
        rules_id=settings.rules_id,
        accept_partial=accept_partial,
    )
    return Prepared(created, differences, views.live, is_born_now)
