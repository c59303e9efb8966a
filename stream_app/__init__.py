"""The Faust app: readings -> exact totals in a RocksDB table and its changelog, exactly once.

The way of a chunk: faust_adapter/ (Kafka -> agent) -> agent.py, in words ->
ownership/processor.py (when to commit) -> partition/fold_state.py (what to commit) ->
changelog/writer.py (Kafka) -> store/ (RocksDB). What sees what: pyproject.toml, importlinter.
"""
