"""Readings on their way to Kafka: acknowledged, surely not sent, or unknown; nothing in between.

readings.py (the producer) -> delivery.py (how each record ended); fleet.py (simulated readings)
-> simulate.py (publishes them and keeps the oracle).
"""
