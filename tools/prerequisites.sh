#!/bin/sh
# Says on one line what this machine lacks and how to install it; says nothing if all is there.
# Usage: tools/prerequisites.sh PYTHON
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
