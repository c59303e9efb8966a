#!/bin/sh
# Fetches the page's chart library from its npm package, in the one version that is checked below,
# and keeps of it what the page loads. Needs npm; users do not: the files are in the repository.
# Usage: tools/vendor_ui.sh DIRECTORY     (where to put it)
set -eu
package=uplot@1.6.32
sha512=2883159c6ebccefbb95d751b0b82d010f9e1c0ec41b8bc96d401eda66e882935c89a46cb824332fa369b8cb8122cc6ac36e186cd09bf7a9ded3a4c93c6989023

command -v npm >/dev/null || { echo "npm is missing: install it (Debian: apt install npm)" >&2; exit 2; }
into=$(cd "$1" && pwd)
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm pack --silent "$package" >name
tarball=$(cat name)
echo "$sha512  $tarball" | sha512sum --check --quiet
tar -xzf "$tarball"
install -m 644 package/LICENSE package/dist/uPlot.iife.min.js package/dist/uPlot.min.css "$into"
(cd "$into" && sha256sum LICENSE uPlot.iife.min.js uPlot.min.css >SHA256SUMS)
