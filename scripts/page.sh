#!/bin/sh
# Bundle MSAL JS for the playground where Node.js is there; without it the playground runs by plain fetch and says so.
set -u
cd "$(dirname "$0")/.."

built=src/genkan/console/static/msal.js
missing() {
    echo "$1 The playground runs by plain fetch; with Node.js 18 or newer, make run adds the MSAL SDK." >&2
    exit 0
}

[ "$built" -nt package-lock.json ] && [ "$built" -nt scripts/bundle.mjs ] && [ "$built" -nt scripts/msal.mjs ] && exit 0
command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null ||
    missing "There is no Node.js here."
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    npm ci --no-progress --loglevel=error >&2 || missing "The Node packages could not be installed."
    touch node_modules/.package-lock.json
fi
node scripts/bundle.mjs || missing "MSAL JS could not be bundled."
