#!/bin/sh
# Says on one line what this machine lacks and how to install it; says nothing if all is there.
# Usage: tools/prerequisites.sh PYTHON [broker]     (broker: Java and Maven are needed too)
set -u

python=$1
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or newer is missing ($python is not one): install it (Debian: apt install python3 python3-venv; macOS: brew install python) or name one with make PYTHON=/path/to/python3"
    exit 0
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Python's venv module is missing: install it (Debian: apt install python3-venv)"
    exit 0
fi
[ "${2:-}" = broker ] || exit 0

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
version=$("$java" -version 2>&1 | sed -n 's/.*version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p')
if [ "${version:-0}" -lt 17 ]; then
    found=${version:+, found Java $version}
    echo "Java 17 or newer is missing$found: install it (Debian: apt install openjdk-17-jre-headless maven; macOS: brew install openjdk@17 maven)"
    exit 0
fi
if ! command -v mvn >/dev/null 2>&1; then
    echo "Maven is missing: install it (Debian: apt install maven; macOS: brew install maven)"
fi
