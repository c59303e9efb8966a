"""The example for nginx must fit the settings that it stands in front of."""

import re
from pathlib import Path

from api.settings import ApiSettings

EXAMPLE = Path(__file__).parents[2] / "deploy" / "nginx.conf.example"


def directive(name: str) -> str:
    text = EXAMPLE.read_text(encoding="utf-8")
    (value,) = re.findall(rf"^\s*{name} ([^;]+);", text, re.MULTILINE)
    return str(value)


def seconds(name: str) -> float:
    return float(directive(name).removesuffix("s"))


def test_times_of_the_proxy_fit_those_of_the_server() -> None:
    settings = ApiSettings.load({})
    assert seconds("keepalive_timeout") < settings.keep_alive_seconds
    longest = settings.wait_timeout_seconds + (settings.delivery_timeout_seconds or 0)
    assert seconds("proxy_read_timeout") > longest


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
