"""View versions: their births, their markers, and the one writer of `energy_views`."""
