"""Totals as they change: what a stream watches, what it is told, and the hub that tells all."""
