"""A clone of what is here, the wheels that are built from it, and an environment that has nothing else of Genkan's."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server, running

ROOT = Path(__file__).parents[2]
BUNDLE = "src/genkan/console/static/msal.js"


def tracked(*under: str) -> list[str]:
    """The files that a commit of all that is here would hold."""
    said = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z", *under],
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(name for name in said.stdout.split("\0") if name and (ROOT / name).is_file())


def build(clone: Path, folder: Path) -> Path:
    """The wheel of a clone, by the command of `make wheel`."""
    command = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), "."], cwd=clone, check=True, timeout=60)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is here, as `git clone` gives it: nothing built, nothing installed."""
    folder = tmp_path_factory.mktemp("clone")
    for name in tracked(
        "src", "scripts", "Makefile", "pyproject.toml", "README.md", "LICENSE", "*.json", ".npmrc"
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def bare_python(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of a fresh environment with the wheel of a clone without Node.js, and what Genkan depends on."""
    wheel = build(clone, tmp_path_factory.mktemp("bare"))
    home = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=60)
    python = home / "bin/python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "install", "--no-deps", "--no-index", str(wheel)], check=True, timeout=60)
    (site,) = home.glob("lib/python3*/site-packages")
    # The packages that are here, but not the Genkan that is here: a .pth file of a folder named by one is not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return str(python)


@pytest.fixture(scope="session")
def bare_server(bare_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of that environment: its files hold no SDK."""
    with running(tmp_path_factory.mktemp("bare") / "data", python=bare_python) as started:
        yield started
