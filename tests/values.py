"""Values of the readings topic for tests, good but for what a test changes."""

GOOD = {
    "timestamp": '"2025-04-30 10:11:21"',
    "device_id": '"device_7"',
    "energy_consumed": "3106278102",
    "location": '"Living Room"',
}


def value_of(*more: str, **json_texts: str | None) -> bytes:
    """A value as JSON: `energy_consumed="1e3"` replaces a field, None leaves it out.

    `more` are members that follow the fields, as they stand: `'"x": 1'`.
    """
    fields = GOOD | json_texts
    members = [f'"{name}": {text}' for name, text in fields.items() if text is not None]
    return ("{" + ", ".join([*members, *more]) + "}").encode("utf-8", "surrogatepass")
