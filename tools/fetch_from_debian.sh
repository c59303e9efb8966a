#!/bin/sh
# Takes one program out of a package of Debian, without installing what it serves.
# Usage: tools/fetch_from_debian.sh PACKAGE PATH PROGRAM     (where it is in it, where to put it)
set -eu
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
# As root, apt would otherwise warn that its own user may not write here.
(cd "$directory" && apt-get download -qq -o APT::Sandbox::User=root "$1")
dpkg-deb --fsys-tarfile "$directory/$1"_*.deb | tar -xO "./$2" >"$directory/program"
install -m 755 "$directory/program" "$3"
