"""Replay: build the next view version beside the live one, compare, promote, go back, drop."""
