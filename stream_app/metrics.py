"""Every metric of the worker, with what it counts; one place, documented in docs/METRICS.md."""

from prometheus_client import Counter, Gauge, Histogram, Info

BUILD = Info("energy_build", "Version, rules and commit of this process.")
READINGS_FOLDED = Counter(
    "stream_app_readings_folded", "Readings counted in a committed transaction.", ["partition"]
)
RECORDS_QUARANTINED = Counter(
    "stream_app_records_quarantined",
    "Records written to the quarantine in a committed transaction.",
    ["partition"],
)
ODD_TIMES = Counter(
    "stream_app_records_with_odd_times",
    "Records whose CreateTime is no time (before 1973, an hour ahead): seconds or microseconds.",
    ["partition"],
)
CHUNKS_REDELIVERED = Counter(
    "stream_app_chunks_redelivered", "Chunks dropped because all of them was folded already."
)
CHUNKS_STRADDLING = Counter(
    "stream_app_chunks_straddling", "Chunks of which a part was folded already and cut off."
)
CHUNKS_STALE = Counter(
    "stream_app_chunks_stale", "Chunks dropped because they were fetched before a rebalance."
)
RESEEKS = Counter("stream_app_reseeks", "Seeks back to what comes next.", ["partition"])
TRANSACTIONS = Counter(
    "stream_app_transactions",
    "Commits to Kafka: transactions, and single batches in place of one.",
    ["partition"],
)
SINGLE_BATCHES = Counter(
    "stream_app_single_batches",
    "Commits that took a single batch in place of a transaction.",
    ["partition"],
)
SINGLE_BATCHES_PROVEN = Gauge(
    "stream_app_single_batches_proven",
    "1 where a broker's logs have proven to refuse fenced writers, 0 where they have not.",
    ["broker"],
)
TRANSACTION_SECONDS = Histogram(
    "stream_app_transaction_seconds",
    "From begin to commit, of a transaction or of the single batch in place of one.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15),
)
APPLIED_OFFSET = Gauge("stream_app_applied_offset", "Applied offset.", ["partition"])
FENCES = Counter("stream_app_fences", "Times this worker fenced its partitions.")
RECORDS_RECOVERED = Counter(
    "stream_app_records_recovered", "Changelog records read back into the store."
)
STORES_SET_ASIDE = Counter(
    "stream_app_stores_set_aside", "Local stores that were not to be trusted and were rebuilt."
)
PARTITIONS_WAITING = Gauge(
    "stream_app_partition_waiting", "1 while a partition waits for a named reason.", ["partition"]
)
OFFSETS_GIVEN_UP = Counter(
    "stream_app_offsets_given_up",
    "Offsets gone on without, by an operator's `--accept-lost-offsets`.",
    ["partition"],
)
PARTITIONS_SET_ASIDE = Gauge(
    "stream_app_partitions_set_aside",
    "Partitions that this worker has and does not work on: `/ready` says why and what to do.",
    ["reason"],
)
PARTITIONS_TRIED_AGAIN = Counter(
    "stream_app_partitions_tried_again",
    "Times a partition that was set aside was tried again.",
    ["reason"],
)
