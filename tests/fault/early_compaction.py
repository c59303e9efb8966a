"""A worker or an API whose changelogs may be compacted early.

`python -m tests.fault.early_compaction worker|api`. What is required of `min.compaction.lag.ms`,
and what readers go by, is a second in this process in place of five minutes, which no test waits
for. Changed before anything else is imported.
"""

from __future__ import annotations

import sys

from contract import topics

LAG_MS = 1_000
COMMAND = [sys.executable, "-m", "tests.fault.early_compaction", "worker"]

if __name__ == "__main__":
    topics.MIN_COMPACTION_LAG_MS = LAG_MS
    if sys.argv[1] == "worker":
        from stream_app.__main__ import main
    else:
        from api.__main__ import main
    sys.exit(main())
