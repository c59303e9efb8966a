"""Real kills against a real broker: the oracle, the checker and one file per fault."""
