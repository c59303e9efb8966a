"""Several HTTP processes that read one copy with one follower (API_PROCESSES).

    parent.py         starts, restarts and ends the others; takes the port
    follower.py       follows the changelogs, writes the copies, tells the feed
    http_process.py   serves; each one in its own process

The parent and the follower import no HTTP: each process costs memory.
"""
