"""The processes of one server: some that serve (API_PROCESSES), and one that follows.

    one_server.py     serves, with the follower beside it: API_PROCESSES=1
    parent.py         starts, restarts and ends several that serve; takes the port
    parts.py          how a part is started, and what all of them have
    keeping.py        starts one again that has ended; fork.py: the first start
    follower.py       follows the changelogs, writes the copies, tells the feed
    http_process.py   serves; each one in its own process

The parent and the follower import no HTTP: each process costs memory.
"""
