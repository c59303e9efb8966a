"""`python -m cli` is `energy`."""

from cli.app import main

main()
