"""What every room agrees on: readings, totals, topics, their bytes, errors, Kafka settings.

The leaf of the import graph: pure code. No framework, no clock, no environment, no I/O.
"""
