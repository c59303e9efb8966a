"""Copies readings of another topic into the readings topic, each once."""
