"""How the follower's views stand: all of it each time, so nobody can miss a part.

A few hundred bytes for each view, and the keys that changed. A frame is a length of four bytes,
big-endian, and so many bytes of MessagePack.
"""

from __future__ import annotations

from typing import Any

import msgspec

from api.view.copied_view import CopiedView
from api.view.followed_view import ViewState
from api.view.partition_view import PartitionView
from api.view.version_views import VersionViews
from contract.changelog import Birth, Marker
from contract.view_versions import ViewVersion

LENGTH_BYTES = 4
#: More is no frame of ours.
MOST_BYTES = 512 * 1024 * 1024


class PartitionPicture(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A changelog partition: what is shown of it, what it was born from.

    `ages`: how many readings were how old when they were shown, and their ages together.
    """

    marker: Marker
    birth: Birth | None
    ages: tuple[list[int], float] | None


class ViewPicture(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A view as it stands.

    `life` is another number whenever the view was started over; `rows_written` counts since then.
    """

    life: int
    state: ViewState
    problem: str | None
    transactions: int
    rows_written: int
    partitions: list[PartitionPicture]


class VersionPicture(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """The views of the version served."""

    version: ViewVersion
    totals: ViewPicture
    series: ViewPicture | None


class BooksPicture(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """Whether the books balance, None where nobody knows, and how old that is."""

    balance: bool | None
    compared_seconds_ago: float


class Picture(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """All that a reading process learns.

    `keys` are those of rows of the totals that have changed since the picture before; some may
    have changed in an earlier one.
    """

    problem: str | None
    served: VersionPicture | None
    books: BooksPicture
    keys: list[bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Picture).decode


def frame_of(picture: Picture) -> bytes:
    """Return the frame of a picture."""
    content = _encode(picture)
    return len(content).to_bytes(LENGTH_BYTES, "big") + content


def picture_in(content: bytes) -> Picture:
    """Read the content of a frame. Raises: msgspec.DecodeError, of another build."""
    return _decode(content)


def length_in(head: bytes) -> int:
    """Return how long the content of a frame is. Raises: ValueError: it is none."""
    length = int.from_bytes(head, "big")
    if not 0 < length <= MOST_BYTES:
        raise ValueError(f"a frame of {length} bytes")
    return length


def version_picture(views: VersionViews) -> VersionPicture:
    """Return how the views of a version stand."""
    totals, series = views.totals, views.series
    return VersionPicture(
        views.version,
        _view_picture(totals),
        None if series is None else _view_picture(series),
    )


def _view_picture(view: CopiedView[Any]) -> ViewPicture:
    return ViewPicture(
        view.life,
        view.state,
        view.problem,
        view.transactions,
        view.rows_written,
        [_partition_picture(each) for each in view.partitions],
    )


def _partition_picture(partition: PartitionView) -> PartitionPicture:
    ages = partition.ages
    counted = None if ages is None else (ages.counts(), ages.sum_seconds)
    return PartitionPicture(partition.marker, partition.birth, counted)
