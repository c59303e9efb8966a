"""How the rooms are put together and run: the `energy` command, the local stack, the broker."""
