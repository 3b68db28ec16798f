#!/bin/sh
# Write the lock files anew from pyproject.toml and package.json. Pins are kept unless told: scripts/lock.sh --upgrade
set -eu
cd "$(dirname "$0")/.."

[ -x build/lock/bin/uv ] || { python3 -m venv build/lock && build/lock/bin/pip --quiet install uv==0.13.9; }
compile() {
    build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@"
}
# The packages needed to run are pinned to the versions that were tested: `run` follows `dev`.
compile "$@" pyproject.toml --extra dev --output-file requirements/dev.txt
compile "$@" pyproject.toml --constraint requirements/dev.txt --output-file requirements/run.txt
printf 'hatchling\neditables\n' | compile "$@" --constraint requirements/dev.txt - --output-file requirements/build.txt
npm install --package-lock-only
