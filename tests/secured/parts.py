"""An installation on the secured cluster, whose parts log in each as a user of its own."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from tests.installation import Installation
from tests.secured.acls import begin_with
from tests.secured.cluster import SecuredCluster
from tests.three_brokers import NODES


class SecuredInstallation(Installation):
    """One that has the rights of its prefix, and no others."""

    def __init__(
        self,
        cluster: SecuredCluster,
        login: Callable[[str], dict[str, str]],
        directory: Path,
        prefix: str = "",
    ) -> None:
        super().__init__(login, directory, prefix, copies=len(NODES))
        if prefix:
            cluster.allow(begin_with(prefix))


def written_out(number: Decimal) -> str:
    """A total as it is stored: without exponent and trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
