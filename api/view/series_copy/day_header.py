"""The header of a day's row: enough for the sum of the whole day."""

from __future__ import annotations

from struct import Struct

QUARTERS = 96

#: Decimal places, the columns' codes (readings, sums, seconds), quarters with a reading (a bit
#: each), readings and total of the day. Native byte order, as LMDB's own pages.
HEADER = Struct("=HBBB12sQq")
MASK_BYTES = QUARTERS // 8

#: In place of a column's code. Of the sums: they are wide. Of the seconds: there are none.
WIDE = 0
NO_SECONDS = 0
#: What a header's total can be.
LOWEST, HIGHEST = -(2**63), 2**63 - 1
