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
    shellcheck .ci/run tools/*.sh deploy/kafka/acls.sh
fi
hadolint deploy/Dockerfile
if has actionlint "make actionlint builds it where Go is"; then
    actionlint .github/workflows/*.yml
fi
if has promtool "make promtool fetches it on Debian; elsewhere install Prometheus"; then
    promtool check rules --lint-fatal deploy/prometheus/alerts.yaml >/dev/null
    promtool test rules deploy/prometheus/alerts_test.yaml >/dev/null
    promtool check config --syntax-only deploy/prometheus/prometheus.yml >/dev/null
    # Each question of the dashboards, as a rule that only has to be read.
    queries=$(mktemp)
    python - >"$queries" <<'QUERIES'
import json, pathlib
panels = json.loads(pathlib.Path("deploy/grafana/dashboards/pipeline.json").read_text())["panels"]
asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
rules = [
    {"record": f"asked:{number}", "expr": each.replace("$__rate_interval", "5m")}
    for number, each in enumerate(asked)
]
print(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
QUERIES
    promtool check rules "$queries" >/dev/null
    rm "$queries"
fi
if has nginx "make nginx fetches it on Debian; elsewhere install it"; then
    tools/nginx_check.sh
fi
if has systemd-analyze "of systemd; the tests check the units without it"; then
    tools/systemd_check.sh
fi
if has kubectl "its kustomize builds deploy/kubernetes; the tests check the files without it"; then
    find deploy/kubernetes -name kustomization.yaml | while read -r each; do
        if ! grep -q 'kind: Component' "$each"; then
            kubectl kustomize "${each%/*}" >/dev/null
        fi
    done
    # Overlays as they are when somebody switches their components on.
    copy=$(mktemp -d)
    cp -r deploy/kubernetes "$copy"
    for each in "$copy"/kubernetes/overlays/*; do
        sed -i.as_it_was -e 's/^#components:/components:/' -e 's/^#  - /  - /' \
            "$each/kustomization.yaml"
        kubectl kustomize "$each" >"$copy/built"
        for kind in ScaledObject ServiceMonitor PodMonitor; do
            grep -q "^kind: $kind" "$copy/built"
        done
    done
    rm -r "$copy"
fi
