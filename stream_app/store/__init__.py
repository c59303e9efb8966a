"""One partition's totals on disk: RocksDB."""
