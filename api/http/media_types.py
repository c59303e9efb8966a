"""Content types of what we send and receive."""

JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv; charset=utf-8"
PARQUET = "application/vnd.apache.parquet"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
HTML = "text/html; charset=utf-8"
URLENCODED = "application/x-www-form-urlencoded"
EVENT_STREAM = "text/event-stream; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"
#: Of files that are served as they are.
BY_EXTENSION = {
    "html": HTML,
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
