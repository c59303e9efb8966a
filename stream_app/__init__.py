"""The Faust app: readings -> exact totals in a RocksDB table and its changelog, exactly once.

The way of a chunk: faust_seams/ (Kafka -> agent) -> agent.py -> pipe.py (when to commit) ->
partition.py (what to commit) -> transaction.py (Kafka) -> store.py (RocksDB).
"""
