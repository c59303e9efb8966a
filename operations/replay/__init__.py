"""Replay: build the next view version next to the live one, compare, promote, go back, drop."""
