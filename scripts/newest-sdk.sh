#!/bin/sh
# Run the tests of the administration API against the newest SDK, in an environment of their own: the lock files stay
# as they are, and what a new release of Microsoft's breaks is known before they take it. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."

folder=build/newest-sdk
rm -rf "$folder"
.venv/bin/python -m venv "$folder"
pip() { "$folder/bin/python" -m pip --quiet --disable-pip-version-check --no-input "$@"; }
echo "Installing the locked packages and the newest SDK into $folder (a minute or two)" >&2
pip install --no-deps --require-hashes -r requirements/build.txt -r requirements/run.txt
pip install --no-deps --require-hashes -r requirements/dev.txt
pip install --upgrade msgraph-sdk msgraph-core azure-identity msal
pip install --no-deps --no-build-isolation .
"$folder/bin/python" -m pip --disable-pip-version-check list | grep -i -E 'msgraph|azure|msal|kiota' >&2
exec "$folder/bin/python" -m pytest -q -n 2 --dist loadgroup tests/graph "$@"
