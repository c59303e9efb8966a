"""The HTTP server: writes readings through the producer, serves totals from its own view.

Reads the changelog of the live view version, `energy_views` and the ends of the readings topic.
Writes readings and refused rows to Kafka, nothing else. Never asks a worker.
"""
