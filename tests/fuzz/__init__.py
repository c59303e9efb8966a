"""Hostile and generated requests against one running server: no Kafka, real sockets."""
