"""What `energy status` says of one partition of a view."""

import msgspec

from contract.changelog import Marker, RolledUp
from operations.status import PartitionStatus, _of_view

TOTALS = PartitionStatus(1, end_offset=10, applied_offset=8, lag_records=1, owner=None)


def test_a_view_whose_old_rows_are_added_up_says_since_when_it_keeps_them() -> None:
    marker = Marker(6, v=3, rolled_up=RolledUp(cutoff=485_160, rows=3))
    assert msgspec.to_builtins(_of_view(marker, TOTALS)) == {
        "partition": 1,
        "applied_offset": 6,
        "lag_records": 3,
        "behind_totals": 2,
        "cutoff": "2025-05-07T00:00:00Z",
    }


def test_one_that_keeps_all_does_not_speak_of_it() -> None:
    for marker in (Marker(6), None):
        assert "cutoff" not in msgspec.to_builtins(_of_view(marker, TOTALS))
