"""Replays and backfills at full size, under kills and live traffic; prints one JSON line each.

`python -m tests.benchmarks.replay_rows switch --readings 3000000 --live 1000`

    switch    build, promote, back, forward; a client polls 20 devices all the while
    storm     promoted while workers come and go
    kills     SIGKILL of the replay on its way, then of worker, API and broker during promote
    abort     in each state, its process alive or killed: what is left behind
    same      five replays, each with other chunks, workers and time zone: one digest
    speed     readings/s of a replay beside an idle live worker
    rules     a build that ignores negative readings: compared, promoted, taken back
    fresh     freshness of live traffic beside a replay under --max-rate
    backfill  from a second broker, killed and started again, run again; freshness beside it

Everything runs in a stack of its own under a temporary directory; oracles import nothing of ours.
"""

from __future__ import annotations

import argparse
import signal
import sys

from tests.benchmarks.replay_rows.backfilling import backfill
from tests.benchmarks.replay_rows.building import abort, fresh, same, speed
from tests.benchmarks.replay_rows.switching import kills, rules, storm, switch


def main() -> None:
    """Run what is asked for."""
    # Ended from outside, it must not leave its stack behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument(
        "row",
        choices=[
            "switch",
            "storm",
            "kills",
            "abort",
            "same",
            "rules",
            "speed",
            "fresh",
            "backfill",
        ],
    )
    arguments.add_argument("--readings", type=int, default=1_000_000)
    arguments.add_argument("--live", type=int, default=1_000, help="readings a second")
    arguments.add_argument("--max-rate", type=int, default=50_000)
    arguments.add_argument("--seconds", type=float, default=20)
    options = arguments.parse_args()
    match options.row:
        case "switch":
            switch(options.readings, options.live)
        case "storm":
            storm(options.readings, options.live)
        case "kills":
            kills(options.readings, options.live)
        case "abort":
            abort(options.readings)
        case "same":
            same(options.readings)
        case "rules":
            rules(options.readings, options.live)
        case "speed":
            speed(options.readings)
        case "fresh":
            fresh(options.readings, options.live, options.max_rate, options.seconds)
        case "backfill":
            backfill(options.readings, options.live, options.max_rate)


if __name__ == "__main__":
    main()
