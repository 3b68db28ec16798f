#!/bin/sh
# Make .venv, with the locked packages and Genkan itself in it.  Usage: scripts/venv.sh run|dev
set -eu
cd "$(dirname "$0")/.."

recent='import sys; sys.exit(sys.version_info < (3, 11))'

find_python() {
    for name in python3 python3.13 python3.12 python3.11 python3.14 python; do
        if "$name" -c "$recent" 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "Genkan needs Python 3.11 or newer, and none was found. Install one (on Debian 12 or newer: apt-get install python3 python3-venv) and run this again." >&2
    exit 1
}

if ! .venv/bin/python -c "$recent" 2>/dev/null; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$python cannot make virtual environments. Install its venv module (on Debian or Ubuntu: apt-get install python3-venv) and run this again." >&2
        exit 1
    fi
    rm -rf .venv
    "$python" -m venv .venv
fi

echo "Installing the packages of requirements/$1.txt into .venv (up to a minute the first time)" >&2
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check --no-input "$@"; }
# The lock files name every package, so nothing is left to resolve: a newer release elsewhere can change nothing here.
pip install --no-deps --require-hashes -r requirements/build.txt -r "requirements/$1.txt"
pip check
pip install --no-deps --no-build-isolation --editable .
touch ".venv/$1.stamp"
