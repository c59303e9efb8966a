"""Readings in: bodies become rows, rows become records in the log."""
