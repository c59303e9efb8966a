"""The partitions that this worker has: taken over, worked on, set aside, let go."""
