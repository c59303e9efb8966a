"""The example for nginx must fit the settings that it stands in front of."""

import re
from pathlib import Path

import pytest

from api.settings import ApiSettings
from operations.settings import MOST_PARTITIONS

EXAMPLE = Path(__file__).parents[3] / "deploy" / "nginx" / "energy.conf"


UPLOADS = r"~ ^/v[01]/datasources(/|$)"
#: Of all rows of a file in a second; ours alone does twenty times as many.
SLOWEST_ROWS = 10_000
BYTES_OF_A_ROW = 77


def block(location: str) -> str:
    """What is between the braces of a location; none of them has a block within."""
    text = EXAMPLE.read_text(encoding="utf-8")
    return text.split(f"location {location} {{")[1].split("\n    }")[0]


def directive(name: str, location: str = "/") -> str:
    """Of the location, else the one that holds for all."""
    pattern = re.compile(rf"^\s*{name} ([^;]+);", re.MULTILINE)
    found = pattern.findall(block(location)) or pattern.findall(
        re.sub(r"location [^{]*\{[^}]*\n    \}", "", EXAMPLE.read_text(encoding="utf-8"))
    )
    (value,) = found
    return str(value)


def seconds(name: str, location: str = "/") -> float:
    return float(directive(name, location).removesuffix("s"))


def size(name: str, location: str = "/") -> int:
    number, unit = re.findall(r"(\d+)([km])", directive(name, location))[-1]
    return int(number) * {"k": 1024, "m": 1024**2}[unit]


def test_times_of_the_proxy_fit_those_of_the_server() -> None:
    settings = ApiSettings.load({})
    assert seconds("keepalive_timeout") < settings.keep_alive_seconds
    longest = settings.wait_timeout_seconds + (settings.delivery_timeout_seconds or 0)
    assert seconds("proxy_read_timeout") > longest


def test_ops_b5_a_file_is_waited_for_until_all_its_rows_are_acknowledged() -> None:
    """A 504 before that makes a client send it again: each row would count twice."""
    settings = ApiSettings.load({})
    rows = settings.max_upload_bytes / BYTES_OF_A_ROW
    assert seconds("proxy_read_timeout", UPLOADS) > rows / SLOWEST_ROWS
    assert size("client_max_body_size", UPLOADS) >= settings.max_upload_bytes


@pytest.mark.parametrize(
    ("path", "is_upload"),
    [
        ("/v0/datasources", True),
        ("/v0/datasources/energy_consumption", True),
        ("/v1/datasources/energy_consumption/append", True),
        ("/v0/events", False),
        ("/v0/devices/datasources", False),
        ("/v0/datasourcesx", False),
    ],
)
def test_ops_b5_each_route_that_takes_files_has_the_long_times(path: str, is_upload: bool) -> None:
    assert bool(re.search(UPLOADS.removeprefix("~ "), path)) is is_upload
    block(UPLOADS)


def test_too_much_is_told_by_the_api_where_it_is_an_events_body() -> None:
    assert size("client_max_body_size") > ApiSettings.load({}).max_body_bytes


def test_api_b12_the_longest_head_of_an_answer_fits_into_one_buffer() -> None:
    offsets = ",".join(f"{partition}:{10**18}" for partition in range(MOST_PARTITIONS))
    assert size("proxy_buffer_size") > len(offsets) + 4_096
    assert size("proxy_busy_buffers_size") >= size("proxy_buffer_size")
    assert int(directive("proxy_buffers").split()[0]) * size("proxy_buffers") > size(
        "proxy_busy_buffers_size"
    )


def test_http2_is_asked_for_as_nginx_has_it_since_1_25_1() -> None:
    assert directive("listen") == "443 ssl"
    assert directive("http2") == "on"


def test_no_log_of_the_proxy_has_a_query() -> None:
    """It may hold a token."""
    formatted = re.search(r"log_format energy '([^']*)'", EXAMPLE.read_text(encoding="utf-8"))
    assert formatted
    assert "$uri" in formatted[1]
    for variable in ("$request ", "$request_uri", "$args", "$query_string", "$http_authorization"):
        assert variable not in formatted[1]
    assert directive("error_log").endswith(" emerg")


def test_paths_go_on_as_they_were_sent() -> None:
    assert directive("merge_slashes") == "off"
    assert re.fullmatch(r"http://\w+", directive("proxy_pass")), "a path behind it decodes"


def test_braces_are_closed_and_lines_end() -> None:
    depth = 0
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        line = line.split(" #")[0].strip()
        if line and not line.startswith("#"):
            assert line[-1] in ";{}", line
            depth += line.count("{") - line.count("}")
    assert depth == 0
