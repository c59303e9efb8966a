#!/bin/sh
# Takes promtool out of Debian's package of Prometheus, without installing a server.
# Usage: tools/fetch_promtool.sh PROGRAM     (where to put it)
set -eu
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
# As root, apt would otherwise warn that its own user may not write here.
(cd "$directory" && apt-get download -qq -o APT::Sandbox::User=root prometheus)
dpkg-deb --fsys-tarfile "$directory"/prometheus_*.deb | tar -xO ./usr/bin/promtool >"$directory/promtool"
install -m 755 "$directory/promtool" "$1"
