"""Kafka below our records: batches, fetching, appending, asking and changing a cluster."""
