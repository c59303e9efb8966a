#!/bin/sh
# Installs Chromium from Debian where there is none, for the tests of the page. No browser is
# downloaded from anywhere else.
set -eu
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "Chromium is missing, so the tests of the page fail: install it (Debian: apt install chromium; macOS: brew install chromium)" >&2
    exit 1
fi
echo "Installing Chromium from Debian"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --no-install-recommends chromium >/dev/null
