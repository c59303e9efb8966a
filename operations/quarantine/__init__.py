"""Shows what could not be counted, and publishes what can be mended, each origin once for ever."""
