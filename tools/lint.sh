#!/bin/sh
# Checks the files that are not Python, each with the tool that knows it. A tool that this machine
# lacks is left out, and the output says so.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

has() {
    command -v "$1" >/dev/null && return
    echo "left out: $1 ($2)"
    return 1
}

if has shellcheck "no wheel for this processor: apt install shellcheck"; then
    shellcheck .ci/run tools/*.sh
fi
hadolint deploy/Dockerfile
if has promtool "make promtool fetches it on Debian; elsewhere install Prometheus"; then
    promtool check rules --lint-fatal deploy/prometheus/alerts.yaml >/dev/null
    promtool test rules deploy/prometheus/alerts_test.yaml >/dev/null
fi
