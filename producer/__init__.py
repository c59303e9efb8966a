"""Readings on their way to Kafka: acknowledged, surely not sent, or unknown; nothing in between.

client/ sends them, files/ reads them, imports/ and idempotency/ write them once, fleet/ simulates
devices; judging.py says for all of them what is a reading and what is for the quarantine.
"""
