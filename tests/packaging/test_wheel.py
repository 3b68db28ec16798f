"""The wheel: all that the running server reads is in it, and nothing beside."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import BUNDLE, ROOT, build, tracked
from tests.server import Server, new_address, sign_up_by_code

pytestmark = pytest.mark.slow


def test_the_wheel_holds_every_file_of_the_package_and_the_built_page(clone: Path, tmp_path: Path) -> None:
    built = tmp_path / "clone"
    shutil.copytree(clone, built)
    shutil.copy(ROOT / BUNDLE, built / BUNDLE)  # as `make page` puts it there

    with zipfile.ZipFile(build(built, tmp_path)) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
        beside = {name.partition(".dist-info/")[2] for name in wheel.namelist() if ".dist-info/" in name}
        bundle = wheel.read("genkan/console/static/msal.js")
        commands = wheel.read(f"{build_name(wheel)}/entry_points.txt").decode()

    assert packed == {name.removeprefix("src/") for name in (*tracked("src"), BUNDLE)}
    assert bundle == (ROOT / BUNDLE).read_bytes()
    assert bundle.startswith(b"/*! @azure/msal-browser ")
    assert "genkan = genkan.cli:main" in commands
    assert {"licenses/LICENSE", "licenses/src/genkan/factors/banned_passwords.LICENSE.txt"} <= beside
    for kind, least in {
        "genkan/py.typed": 1,
        "genkan/factors/banned_passwords.txt": 1,
        "genkan/console/templates/": 5,
        "genkan/console/static/": 15,
        "genkan/delivery/templates/": 2,
        "genkan/delivery/languages/": 4,
        "genkan/store/migrations/": 1,
    }.items():
        assert len([name for name in packed if name.startswith(kind)]) >= least, kind


def build_name(wheel: zipfile.ZipFile) -> str:
    """The folder of the wheel's own data."""
    return next(name for name in wheel.namelist() if ".dist-info/" in name).partition("/")[0]


@pytest.mark.xdist_group("browser")  # which shares the environment
def test_a_wheel_in_a_fresh_environment_starts_development_mode(
    bare_python: str, bare_server: Server
) -> None:
    said = subprocess.run(
        [bare_python, "-c", "import genkan; print(genkan.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=bare_server.data,
    )
    assert Path(said.stdout).is_relative_to(Path(bare_python).parents[1])

    page, style, keys = (
        bare_server.http.get(f"{bare_server.base}{path}")
        for path in ("/", "/static/playground.css", "/dev/discovery/v2.0/keys")
    )
    assert (page.status_code, style.status_code, keys.status_code) == (200, 200, 200)
    assert 'data-sdk=""' in page.text, "it was built where there is no Node.js"
    sign_up_by_code(bare_server, new_address())  # by a message that is made of a template and a language
