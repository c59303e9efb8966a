"""Shows what could not be counted, and publishes what can be repaired, each origin once forever."""
