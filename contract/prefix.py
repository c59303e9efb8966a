"""ENERGY_PREFIX: what every topic, group and transactional.id of an installation begins with.

So two installations share a cluster and never meet. A process works for one of them: its entry
point says which, once, before anything is named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from contract.errors import SettingError

VARIABLE = "ENERGY_PREFIX"
_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}", re.ASCII)

# The state of this process, not of a call: names are asked for everywhere.
_prefix = ""


def use_prefix(environ: Mapping[str, str]) -> None:
    """Take the prefix from the environment; not set: none. Raises: SettingError."""
    global _prefix
    text = environ.get(VARIABLE, "")
    if not _PREFIX.fullmatch(text):
        problem = "must be at most 100 of a-z, A-Z, 0-9, '.', '_' and '-'"
        raise SettingError(VARIABLE, problem, value=text)
    _prefix = text


def prefixed(name: str) -> str:
    """Return the name as it is in Kafka."""
    return _prefix + name
