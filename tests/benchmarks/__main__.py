"""`python -m tests.benchmarks`, the same as `energy bench`: which benchmarks, and how printed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from local_stack.errors import MissingPart
from tests.benchmarks import catch_up, machine, stages
from tests.benchmarks.contenders import OURS, PEERS_BY_NAME, Contender
from tests.benchmarks.dataset import Shape
from tests.benchmarks.figures import Table
from tests.benchmarks.stand import standing

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
MOST_BAD = 0.9


def main() -> None:
    """Run what is asked for and print it."""
    options = parsed()
    described = machine.described()
    if not options.json:
        print(machine.as_text(described), flush=True)
    tables = []
    for table in _tables(options):
        tables.append(table)
        if not options.json:
            print(f"\n{table.as_text()}", flush=True)
    if options.json:
        print(json.dumps({"machine": described, "tables": [t.as_json() for t in tables]}))


def parsed() -> argparse.Namespace:
    """Read the command line; `energy bench --help` says the same."""
    arguments = argparse.ArgumentParser(prog="energy bench", description="Measure this machine.")
    arguments.add_argument("--json", action="store_true", help="print one JSON document")
    arguments.add_argument("--rounds", type=_positive, default=3)
    arguments.add_argument("--readings", type=_positive, default=3_000_000)
    arguments.add_argument("--devices", type=_positive, action="append")
    arguments.add_argument("--workers", type=_positive, default=1, help="of ours")
    arguments.add_argument("--stages", action="store_true", help="ours alone, stage by stage")
    arguments.add_argument("--codec", choices=CODECS, default="none")
    arguments.add_argument("--no-keys", action="store_true", help="readings without a key")
    arguments.add_argument("--bad", type=_share, default=0.0, help="share of records, 0 to 0.9")
    arguments.add_argument("--every", type=float, default=0.0, help="seconds; 0: scattered")
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--against", action="append", choices=[*PEERS_BY_NAME, "none"])
    return arguments.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= MOST_BAD:
        raise argparse.ArgumentTypeError(f"must be from 0 to {MOST_BAD:g}")
    return share


def _peers(options: argparse.Namespace) -> list[Contender]:
    names = options.against or list(PEERS_BY_NAME)
    peers = [PEERS_BY_NAME[name] for name in names if name != "none"]
    # A bad record ends or crashes each of the peers, and some know a device by the key alone.
    return [peer for peer in peers if not (options.bad or (options.no_keys and peer.by_key))]


def _tables(options: argparse.Namespace) -> Iterator[Table]:
    peers = _peers(options)
    for devices in options.devices or [1_000, 100_000]:
        shape = Shape(
            options.readings,
            devices,
            options.seed,
            options.bad,
            options.codec,
            not options.no_keys,
            options.every,
        )
        if options.stages:
            yield stages.run(shape, options.rounds)
            continue
        with standing() as stand:
            contenders = [OURS, *peers]
            wanted = catch_up.CatchUp(shape, options.rounds, contenders, options.workers)
            yield catch_up.run(stand, wanted)


if __name__ == "__main__":
    try:
        main()
    except MissingPart as error:
        print(f"energy bench: {error}", file=sys.stderr)
        sys.exit(2)
