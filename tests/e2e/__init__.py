"""The commands as processes, started as a user starts them."""
