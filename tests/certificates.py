"""Certificates of a test's own authority, made with openssl; files as Kafka and clients want."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_OPENSSL_CONFIG = """
[ca]
default_ca = ours
[ours]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


def put(path: Path, content: str | bytes) -> None:
    """As who replaces a secret does: a new file takes the place of the old one."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(new, path)


class Authority:
    """Signs certificates for servers; `ca_file` is what clients trust."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory / name
        self._directory.mkdir()
        (self._directory / "index.txt").touch()
        (self._directory / "serial").write_text("01\n")
        (self._directory / "ca.cnf").write_text(_OPENSSL_CONFIG)
        self.ca_file = self._directory / "ca.pem"
        self._openssl(
            *("req", "-x509", "-days", "2", "-subj", f"/CN={name}", "-keyout", "ca.key"),
            *("-out", "ca.pem", *_NEW_KEY),
        )

    def server(self, name: str, alternative: str, *ends: str) -> Path:
        """Key and certificate in one file; `alternative` is "IP:127.0.0.1", say.

        `ends` are two times (YYYYMMDDHHMMSSZ) between which it is valid; not given: now.
        """
        subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}")
        self._openssl("req", *subject, "-keyout", f"{name}.key", "-out", f"{name}.csr", *_NEW_KEY)
        valid = ("-startdate", ends[0], "-enddate", ends[1]) if ends else ("-days", "2")
        self._openssl(
            *("ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"),
            *("-in", f"{name}.csr", "-out", f"{name}.pem", "-notext", *valid),
        )
        both = self._directory / f"{name}-both.pem"
        parts = (self._directory / f"{name}{end}" for end in (".key", ".pem"))
        both.write_text("".join(part.read_text() for part in parts))
        return both

    def client(self, name: str, key_password: str = "") -> tuple[Path, Path]:
        """Certificate and key, in a file each; the key is encrypted where it has a password."""
        file = f"{name}-encrypted" if key_password else name
        key = ("-passout", f"pass:{key_password}") if key_password else ("-nodes",)
        self._openssl(
            *("req", "-subj", f"/CN={name}", "-keyout", f"{file}.key", "-out", f"{file}.csr"),
            *(*_ON_A_CURVE, *key),
        )
        self._openssl(
            *("x509", "-req", "-in", f"{file}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-days", "2", "-out", f"{file}.pem"),
        )
        return self._directory / f"{file}.pem", self._directory / f"{file}.key"

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=self._directory, check=True, capture_output=True
        )


_ON_A_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
_NEW_KEY = (*_ON_A_CURVE, "-nodes")
