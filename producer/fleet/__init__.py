"""Simulated devices: what they send, how fast, and what bad records look like."""
