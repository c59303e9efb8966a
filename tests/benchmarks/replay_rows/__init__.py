"""Replays and backfills at full size: `python -m tests.benchmarks.replay_rows ROW`."""
