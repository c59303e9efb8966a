"""What the copy on disk can run into.

CopyError               for who reads: try again in a second
+-- CopyInUse         another process writes it
+-- CopyFull          it has reached its bound, or its disk is full: nothing was written
+-- CopyDamaged       it cannot be read; it is built again at the next start
+-- CopyBusy          too many snapshots are open at once
"""

from __future__ import annotations

from api.errors import Busy, Unavailable

#: What bounds the copy, and where it is: settings of the API.
BOUND_VARIABLE = "API_VIEW_MAX_BYTES"
DIRECTORY_VARIABLE = "API_VIEW_DIR"


class CopyError(Unavailable):
    """The reader's copy on disk cannot be used; the text says what to do."""


class CopyInUse(CopyError):
    """Another process writes this copy; give each its own API_VIEW_DIR, or stop the other one."""


class CopyFull(CopyError):
    """No room for a commit, so nothing of it was written; free some space, then restart."""


class CopyDamaged(CopyError):
    """The copy cannot be read; restart: it is then set aside and built again."""


class CopyBusy(CopyError, Busy):
    """Too many snapshots are open; try again when some have ended."""
