"""Figures, not verdicts: off by default, each a command that prints machine, versions, spread."""
