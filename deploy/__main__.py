"""`python -m deploy` is `energy`."""

from deploy.cli import main

main()
