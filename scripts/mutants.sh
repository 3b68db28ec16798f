#!/bin/sh
# Break the code of the pure rooms in one small place after another, and see whether a test notices.
# Usage: scripts/mutants.sh [--rooms policy,tokens] [--each 40] [--minutes 60] [--seed 1] [--quick] [--only src/genkan/risk/rate.py]
# Works on a copy in build/mutants/, by one process. docs/explanation/mutants.md judges what was found.
set -eu
cd "$(dirname "$0")/.."

home=build/mutants
[ -x $home/venv/bin/cosmic-ray ] || {
    python3 -m venv $home/venv
    # It needs no more of this project than its tests do: those packages are lent to it.
    .venv/bin/python -c 'import site; print(site.getsitepackages()[0])' > "$($home/venv/bin/python -c 'import site; print(site.getsitepackages()[0])')/dev.pth"
    $home/venv/bin/pip --quiet --disable-pip-version-check install cosmic-ray==8.7.0
}
rm -rf $home/clean
mkdir -p $home/clean
git ls-files -z --cached --others --exclude-standard src tests scripts docs javascript pyproject.toml | xargs -0 tar -cf - | tar -xf - -C $home/clean
exec nice -n 15 $home/venv/bin/python -m scripts.mutants "$@"
