"""The partitions of this worker: taken over, processed, set aside, released."""
