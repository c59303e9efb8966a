"""What each release left behind in ENERGY_HOME, packed: the next ones have to continue from it."""
