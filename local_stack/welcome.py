"""What `energy up` prints when it is ready: URL, token, the page, two curl lines to paste."""

from __future__ import annotations

#: The body of the tutorial, over several lines as it has it.
EVENT = """{
    "timestamp": "2025-04-30 10:11:21",
    "device_id": "device_7",
    "energy_consumed": 3106278102,
    "location": "Living Room"
  }"""


def base_url(host: str, port: int) -> str:
    """Return the URL that a client on this machine uses."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def welcome(url: str, token: str) -> str:
    """Return the text; `wait=true` answers once reads show the reading, so GET finds it.

    The page's token is in the fragment, which a browser sends to nobody.
    """
    return f"""
URL    {url}
token  {token}
page   {url}/ui/#token={token}

curl -X POST '{url}/v0/events?name=energy_consumption&wait=true' \\
  -H 'Authorization: Bearer {token}' \\
  -d '{EVENT}'

curl '{url}/v0/pipes/energy_consumption_by_device.json?device_id=device_7' \\
  -H 'Authorization: Bearer {token}'
"""
