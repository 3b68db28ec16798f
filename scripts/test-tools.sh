#!/bin/sh
# Make sure of what the tests need beside Python packages: Node.js, Chromium, PostgreSQL, PgBouncer, a library of Playwright's.
set -eu
cd "$(dirname "$0")/.."

has_node() {
    command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null
}

has_chromium() {
    chromium --version >/dev/null 2>&1
}

has_postgres() {
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null
}

has_pgbouncer() {
    [ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null
}

has_playwright() {
    .venv/lib/python3*/site-packages/playwright/driver/node --version >/dev/null 2>&1
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update && apt-get -qq install --no-install-recommends "$@"
}

# need NAME CHECK PACKAGE...: done when CHECK succeeds; as root on Debian the packages are installed first.
need() {
    name=$1 check=$2
    shift 2
    "$check" && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $name: apt-get install $*" >&2
        log=$(mktemp)
        apt_install "$@" >"$log" 2>&1 </dev/null || cat "$log" >&2
        rm -f "$log"
        "$check" && return
    fi
    echo "The tests need $name. Install it (on Debian or Ubuntu: sudo apt-get install $*) and run this again." >&2
    exit 1
}

need "Node.js 18 or newer with npm" has_node nodejs npm
need "Chromium, as the command 'chromium'" has_chromium chromium fonts-liberation
need "PostgreSQL, of which they start servers of their own" has_postgres postgresql
need "PgBouncer, which one of them puts before PostgreSQL" has_pgbouncer pgbouncer
need "the library libatomic, for Playwright" has_playwright libatomic1
