"""How copies are opened in LMDB, and what it meets, in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lmdb

from api.view.copy.errors import (
    BOUND_VARIABLE,
    DIRECTORY_VARIABLE,
    CopyBusy,
    CopyDamaged,
    CopyError,
    CopyFull,
)
from api.view.copy.place import ReadPlace

#: Snapshots that may be open at once, in all processes.
SNAPSHOTS = 1_000
#: Of a write that a full disk took in part, LMDB says "Input/output error".
_COMMIT = "mdb_txn_commit"
#: What LMDB says about files that are none of its own, or not whole.
_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.PanicError,
    lmdb.IncompatibleError,
)


def opened(place: ReadPlace, databases: type[Any], map_bytes: int, **how: Any) -> lmdb.Environment:
    """Open the files of a copy; its databases are a named tuple. Raises: lmdb.Error."""
    return lmdb.open(
        str(place.copy),
        map_size=map_bytes,
        max_dbs=len(databases._fields),
        max_readers=SNAPSHOTS,
        # Look-ups are scattered, and what is asked for is warm.
        readahead=False,
        **how,
    )


@contextmanager
def closed_unless_whole(environment: lmdb.Environment) -> Iterator[None]:
    """Close what was opened where the rest of its opening fails."""
    try:
        yield
    except BaseException:
        environment.close()
        raise


@contextmanager
def named_errors(place: ReadPlace) -> Iterator[None]:
    """Say in our words what LMDB meets."""
    try:
        yield
    except lmdb.Error as error:
        raise named(error, place) from error


def named(error: lmdb.Error, place: ReadPlace) -> CopyError:
    """Say in our words what LMDB met; a damage is noted for the next start."""
    if isinstance(error, lmdb.MapFullError):
        return CopyFull(
            f"the reader's copy {place.copy} has reached its size limit; nothing of this commit "
            f"was written: raise {BOUND_VARIABLE} and restart"
        )
    if isinstance(error, lmdb.ReadersFullError):
        return CopyBusy(f"more than {SNAPSHOTS} snapshots are open; try again")
    if isinstance(error, _DAMAGE):
        place.note_damage()
        return CopyDamaged(
            f"the reader's copy {place.copy} is damaged ({error}); restart: the copy is then set "
            "aside and built again from the changelog"
        )
    if isinstance(error, lmdb.DiskError) or str(error).startswith(_COMMIT):
        return CopyFull(
            f"the disk of {place.copy} is full, or fails ({error}); nothing of this commit was "
            f"written: free some space, or move {DIRECTORY_VARIABLE}, and restart"
        )
    return CopyError(f"the reader's copy {place.copy}: {error}")
